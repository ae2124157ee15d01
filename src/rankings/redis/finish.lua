-- Puts what was built in the place of the boards, at once for all readers.
-- KEYS: meta, players and three boards; the same five of the build; then places for four that are replaced.
-- ARGV: token, built at (microseconds), season.
if redis.call('HGET', KEYS[6], 'token') ~= ARGV[1] then
    return redis.error_reply('CUTSHORT another build took over')
end
for part = 2, 5 do
    local live, build, old = KEYS[part], KEYS[part + 5], KEYS[part + 9]
    if redis.call('EXISTS', live) == 1 then
        redis.call('RENAME', live, old)
    end
    if redis.call('EXISTS', build) == 1 then
        redis.call('RENAME', build, live)
    end
    -- A million members are freed in the background.
    redis.call('UNLINK', old)
end
-- A season that began meanwhile holds on the build too; it is not whole then.
local season = redis.call('HGET', KEYS[6], 'season') or ARGV[3]
redis.call('HSET', KEYS[1], 'season', season, 'built_at', ARGV[2], 'built_season', ARGV[3])
local as_of = redis.call('HGET', KEYS[1], 'as_of')
if not as_of or tonumber(ARGV[2]) > tonumber(as_of) then
    redis.call('HSET', KEYS[1], 'as_of', ARGV[2])
end
redis.call('UNLINK', KEYS[6])
return 1
