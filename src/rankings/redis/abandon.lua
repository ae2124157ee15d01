-- Removes an unfinished build, so that the next build need not wait until this one expires.
-- KEYS: meta, players and three boards of the build. ARGV: token.
if ask('HGET', KEYS[1], 'token') == ARGV[1] then
    redis.call('UNLINK', unpack(KEYS))
end
return 1
