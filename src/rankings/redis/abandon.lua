-- Removes a build that ends without being finished, so that the next one need not wait until it lapses.
-- KEYS: meta, players and three boards of the build. ARGV: token.
if ask('HGET', KEYS[1], 'token') == ARGV[1] then
    redis.call('UNLINK', unpack(KEYS))
end
return 1
