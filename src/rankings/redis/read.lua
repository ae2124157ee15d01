-- A part of a board; nothing where the boards are not whole.
-- KEYS: meta, players, the board. ARGV: either offset and limit, or a player's id, 'around' and the neighbours on each side.
-- Answers {as of, players on the board, rank of the first from 0 on, {id, score, ...}, {what is kept of each}}, with the
-- player's rank at the end where one was asked for; -1 where it is not on the board.
local meta = redis.call('HMGET', KEYS[1], 'built_at', 'as_of')
if not meta[1] then
    return false
end
local offset, last, rank
if ARGV[2] == 'around' then
    rank = redis.call('ZRANK', KEYS[3], ARGV[1])
    if not rank then
        return { meta[2] or meta[1], 0, 0, {}, {}, -1 }
    end
    offset, last = math.max(rank - tonumber(ARGV[3]), 0), rank + tonumber(ARGV[3])
else
    offset = tonumber(ARGV[1])
    last = offset + tonumber(ARGV[2]) - 1
end
local total = redis.call('ZCARD', KEYS[3])
local members, kept = {}, {}
if offset < total then
    members = redis.call('ZRANGE', KEYS[3], offset, last, 'WITHSCORES')
    local ids = {}
    for i = 1, #members, 2 do
        ids[#ids + 1] = members[i]
    end
    kept = redis.call('HMGET', KEYS[2], unpack(ids))
end
return { meta[2] or meta[1], total, offset, members, kept, rank or -1 }
