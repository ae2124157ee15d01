-- Included at the head of every script but read.lua. A set of boards is five keys: meta, players and three boards.

-- Runs a command. A key of another type, which none of these scripts makes, counts as one that is missing: nil.
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

-- Meta stores how many players each of the other keys has, in these fields, after every script that changed them. Redis
-- has no empty sets and hashes, so a missing key may be an empty part or a lost one, and this tells which.
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

-- Whether no key was evicted, deleted or overwritten since the last script changed the set.
local function is_undamaged(keys)
    local stored, found = ask('HMGET', keys[1], unpack(SIZES)) or {}, sizes(keys)
    for part = 1, #SIZES do
        if tonumber(stored[part] or '') ~= found[part] then
            return false
        end
    end
    return true
end

-- When and in which season a set was built, and when its newest scores were computed; nil if it was never built, or if it
-- is damaged.
local function whole(keys)
    local meta = ask('HMGET', keys[1], 'built_at', 'built_season', 'as_of')
    return meta and meta[1] and is_undamaged(keys) and meta or nil
end
