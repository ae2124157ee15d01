-- Starts a build. Returns 1, or 0 if another build is in progress.
-- KEYS: meta, players and three boards of the build. ARGV: token, milliseconds that the build may be idle.
if ask('HGET', KEYS[1], 'token') then
    return 0
end
-- Remove the remaining keys of a build that was never finished.
redis.call('UNLINK', unpack(KEYS))
redis.call('HSET', KEYS[1], 'token', ARGV[1])
store_sizes(KEYS)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
