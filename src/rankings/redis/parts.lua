-- Prepended to every script except read.lua. A set of boards consists of five keys: meta, players and three boards.

-- Runs a command. Returns nil for a key of another type: none of these scripts creates one, so it counts as missing.
local function ask(...)
    local answer = redis.pcall(...)
    if type(answer) == 'table' and answer.err then
        if string.find(answer.err, 'WRONGTYPE', 1, true) then
            return nil
        end
        return redis.call(...)
    end
    return answer
end

-- Every script that changes the boards stores in these fields of meta how many players each of the other keys contains.
-- Redis has no empty sets and hashes, so a missing key may be empty or lost. The stored size distinguishes the two.
local SIZES = { 'size:players', 'size:lifetime_energy', 'size:energy_per_second', 'size:season' }

local function sizes(keys)
    local found = { ask('HLEN', keys[2]) or -1 }
    for board = 1, 3 do
        found[1 + board] = ask('ZCARD', keys[2 + board]) or -1
    end
    return found
end

local function store_sizes(keys)
    local found = sizes(keys)
    redis.call(
        'HSET', keys[1], SIZES[1], found[1], SIZES[2], found[2], SIZES[3], found[3], SIZES[4], found[4]
    )
end

-- Whether no key was evicted, deleted or overwritten since a script last changed the boards.
local function is_undamaged(keys)
    local stored, found = ask('HMGET', keys[1], unpack(SIZES)) or {}, sizes(keys)
    for part = 1, #SIZES do
        if tonumber(stored[part] or '') ~= found[part] then
            return false
        end
    end
    return true
end

-- Returns the time and the season of the last build and the time of the newest scores; nil if the boards were never
-- built or are damaged.
local function complete(keys)
    local meta = ask('HMGET', keys[1], 'built_at', 'built_season', 'as_of')
    return meta and meta[1] and is_undamaged(keys) and meta or nil
end
