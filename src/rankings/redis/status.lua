-- KEYS: meta, players and three boards. Answers as publish.lua does; keys of boards that are not whole count as remains.
local meta = whole(KEYS)
if meta then
    return { meta[1], meta[2], 0 }
end
return { '', '', redis.call('EXISTS', unpack(KEYS)) }
