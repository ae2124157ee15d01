-- Begins to build the boards anew, unless somebody is at it: then 0.
-- KEYS: meta, players and three boards of the build. ARGV: token, milliseconds that it may rest.
if ask('HGET', KEYS[1], 'token') then
    return 0
end
-- What a build left behind that was never finished.
redis.call('UNLINK', unpack(KEYS))
redis.call('HSET', KEYS[1], 'token', ARGV[1])
store_sizes(KEYS)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
