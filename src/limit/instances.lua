-- Who is there: notes that the caller is, and counts the instances.
--
-- KEYS[1]  the instances
-- ARGV     1 the caller's id    2 microseconds for which an instance counts that does not come again
-- Result   1 instances that are there, the caller among them    2 microseconds since the youngest of them came
--          3 whether the caller was there before
--
-- The state is a hash: id, then when the instance came and when it was here last.

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local own, lasts = ARGV[1], tonumber(ARGV[2])

local entries = redis.pcall('HGETALL', KEYS[1])
if entries.err then
    -- A key of another type is none of ours, and is replaced.
    redis.call('UNLINK', KEYS[1])
    entries = {}
end
local count, youngest, came = 0, 0, nil
for i = 1, #entries, 2 do
    local since, last = string.match(entries[i + 1], '^(%d+) (%d+)$')
    since, last = tonumber(since or 0), tonumber(last or 0)
    -- Where the clock went back for good, all come anew.
    if math.abs(now - last) > lasts then
        redis.call('HDEL', KEYS[1], entries[i])
    else
        count = count + 1
        youngest = math.max(youngest, since)
        if entries[i] == own then came = since end
    end
end

local known = came and 1 or 0
if known == 0 then
    came, count, youngest = now, count + 1, now
end
redis.call('HSET', KEYS[1], own, string.format('%.0f %.0f', came, now))
redis.call('PEXPIRE', KEYS[1], math.ceil(lasts / 1000))
return { count, math.max(0, now - youngest), known }
