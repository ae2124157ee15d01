-- Reads a part of a board. Does not use parts.lua, because requests wait for this script and it must be short.
-- KEYS: meta, players, the board.
-- ARGV: the board's name; then either offset and limit, or a player's id, 'around' and the count on each side.
-- Returns {time of the scores, number of players on the board, position of the first entry (from 0), {id, score, ...},
--          {data of each player}, position of the requested player}.
-- The last is -1 if the player is not on the board or none was requested. A player's data is nil if the key of players
-- lost it. Returns false if the boards were never built or are damaged.
local meta = redis.pcall('HMGET', KEYS[1], 'built_at', 'as_of', 'size:' .. ARGV[1])
local total = redis.pcall('ZCARD', KEYS[3])
if not meta[1] or tonumber(meta[3] or '') ~= total then
    return false
end
local as_of = meta[2] or meta[1]
local offset, last, rank
if ARGV[3] == 'around' then
    rank = redis.call('ZRANK', KEYS[3], ARGV[2])
    if not rank then
        return { as_of, 0, 0, {}, {}, -1 }
    end
    offset, last = math.max(rank - tonumber(ARGV[4]), 0), rank + tonumber(ARGV[4])
else
    offset = tonumber(ARGV[2])
    last = offset + tonumber(ARGV[3]) - 1
end
local members, kept = {}, {}
if offset < total then
    members = redis.call('ZRANGE', KEYS[3], offset, last, 'WITHSCORES')
    local ids = {}
    for i = 1, #members, 2 do
        ids[#ids + 1] = members[i]
    end
    kept = redis.pcall('HMGET', KEYS[2], unpack(ids))
    if kept.err then
        return false
    end
end
return { as_of, total, offset, members, kept, rank or -1 }
