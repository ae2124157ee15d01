-- Replaces the boards with the finished build, atomically for all readers.
-- KEYS: meta, players and three boards; the same five of the build.
-- ARGV: token, time of the build (microseconds), season of the build.
local live = { KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5] }
local build = { KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10] }
if ask('HGET', build[1], 'token') ~= ARGV[1] then
    return redis.error_reply('CUTSHORT another build took over')
end
if not is_undamaged(build) then
    redis.call('UNLINK', unpack(build))
    return redis.error_reply('CUTSHORT a part of the build was lost')
end
for part = 2, 5 do
    -- UNLINK, because it frees a million members in the background.
    redis.call('UNLINK', live[part])
    if redis.call('EXISTS', build[part]) == 1 then
        redis.call('RENAME', build[part], live[part])
    end
end
local as_of = ask('HGET', live[1], 'as_of')
if not as_of or tonumber(ARGV[2]) > tonumber(as_of) then
    as_of = ARGV[2]
end
-- If a season started during the build, publications have stored it in the build's meta. The season board is then
-- incomplete; the boards are rebuilt soon, because built_season differs from the current season.
local season = redis.call('HGET', build[1], 'season') or ARGV[3]
redis.call('UNLINK', live[1], build[1])
redis.call('HSET', live[1], 'season', season, 'built_at', ARGV[2], 'built_season', ARGV[3], 'as_of', as_of)
store_sizes(live)
return 1
