-- Registers the caller and counts the registered instances.
--
-- KEYS[1]  the instances
-- ARGV     1 the caller's id    2 microseconds for which a registration is valid
-- Result   1 the number of instances, including the caller    2 microseconds since the newest instance registered first
--          3 whether the caller was registered before
--
-- The state is a hash: from the id to the times of the first and the last registration.

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local own, lasts = ARGV[1], tonumber(ARGV[2])

local entries = redis.pcall('HGETALL', KEYS[1])
if entries.err then
    -- A key with another type does not belong to the server and is replaced.
    redis.call('UNLINK', KEYS[1])
    entries = {}
end
local count, youngest, first = 0, 0, nil
for i = 1, #entries, 2 do
    local since, last = string.match(entries[i + 1], '^(%d+) (%d+)$')
    since, last = tonumber(since or 0), tonumber(last or 0)
    -- Also removes times in the future: after the clock was set back, all instances must register again.
    if math.abs(now - last) > lasts then
        redis.call('HDEL', KEYS[1], entries[i])
    else
        count = count + 1
        youngest = math.max(youngest, since)
        if entries[i] == own then first = since end
    end
end

local known = first and 1 or 0
if known == 0 then
    first, count, youngest = now, count + 1, now
end
redis.call('HSET', KEYS[1], own, string.format('%.0f %.0f', first, now))
redis.call('PEXPIRE', KEYS[1], math.ceil(lasts / 1000))
return { count, math.max(0, now - youngest), known }
