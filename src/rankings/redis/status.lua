-- Returns the status of the boards: like publish.lua, but the last number counts the keys of incomplete boards.
-- KEYS: meta, players and three boards.
local meta = complete(KEYS)
if meta then
    return { meta[1], meta[2], 0 }
end
return { '', '', redis.call('EXISTS', unpack(KEYS)) }
