-- A token bucket. Instances take tokens from it for single calls, and lease tokens that they spend without asking
-- again.
--
-- KEYS[1]  the bucket
-- ARGV     1 nanoseconds in which the bucket gains a token    2 its depth in tokens
--          3 tokens needed now, all or none                   4 further tokens wanted as a lease
--          5 the version in the caller's last answer, which is also the id of its lease; 0 without an answer
--          6 unspent tokens of that lease, which are returned
--          7 the amount that the caller expects in the bucket, with the tokens of its lease, if no other instance has
--            used the bucket since that version
--          8 microseconds for which a lease is valid
--          9 the reserve: tokens that must be left in the bucket, for calls that are admitted while Redis is late
-- Result   1 whether the needed tokens were taken     2 the amount left                3 the amount leased to others
--          4 tokens leased to the caller              5 the version
--          6 if they were not taken: nanoseconds after which the needed tokens will be available
--
-- Amounts are nanoseconds of refill: whole numbers, which doubles represent exactly up to 2^53. The state is text:
-- version, amount, then id and tokens of each lease, oldest first. The version is the time of the last change, or
-- slightly more if two changes have the same microsecond. A lease's id is the version at which it was given, so the
-- time of its expiry follows from it.
--
-- Invariant: amount + leased tokens <= depth, at all times. A leased token counts until it is returned or its lease has
-- expired, because it may be spent at any moment. So all instances together spend at most depth + rate * time. Tokens
-- are taken only if the reserve remains. It is at least the sum of the debts that instances have or may get, so debts
-- can be paid.

local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local need, wanted = tonumber(ARGV[3]) * interval, tonumber(ARGV[4])
local stamp, unspent, expected = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local lasts, reserve = tonumber(ARGV[8]), tonumber(ARGV[9]) * interval
local full = burst * interval
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

-- A key with another type does not belong to the server and is replaced.
local held = redis.pcall('GET', KEYS[1])
if type(held) == 'table' then
    redis.call('UNLINK', KEYS[1])
    held = nil
end
local numbers = {}
for number in string.gmatch(held or '', '%d+') do
    numbers[#numbers + 1] = tonumber(number)
end
local version, amount = numbers[1] or 0, numbers[2] or full
local found = version

-- After a failover the clock may be slightly behind the stored version; then the stored time is used. If the clock was
-- set back by more than a second, all stored times are shifted, and time continues from the clock.
local shift = 0
if version > now + 1000000 then shift = version - now end
local at = version - shift
if version == 0 then at = now end
if now < at then now = at end

local leases, leased = {}, 0
for i = 3, #numbers, 2 do
    leases[#leases + 1] = { id = numbers[i] - shift, key = numbers[i], worth = numbers[i + 1] * interval }
    leased = leased + numbers[i + 1] * interval
end

local function refill(till)
    amount = math.max(0, math.min(full - leased, amount + (till - at) * 1000))
    at = till
end

local before, since, own, kept = amount, now - at, 0, {}
for _, lease in ipairs(leases) do
    if lease.key == stamp then own = lease.worth end
    if lease.id + lasts <= now then
        refill(math.max(at, lease.id + lasts))
        leased = leased - lease.worth
    else
        kept[#kept + 1] = lease
    end
end
refill(now)

-- Returned tokens were counted as leased until now, although nothing was spent.
local returned = false
for i, lease in ipairs(kept) do
    if lease.key == stamp then
        table.remove(kept, i)
        leased = leased - lease.worth
        amount = math.max(0, math.min(full - leased, amount + math.min(unspent * interval, lease.worth)))
        returned = true
        break
    end
end
-- A spent leased token makes room for refill at once. Only the caller knows when it spent its tokens, so if no other
-- instance has used the bucket since, the amount that the caller calculated is used.
if found > 0 and found == stamp then
    local most = math.min(expected, before + own + since * 1000, full - leased)
    amount = math.max(amount, most)
end

local others, taken, lease, wait = leased, 0, 0, 0
if amount >= need + reserve then
    taken = 1
    amount = amount - need
    -- Leases at most half of the available amount, and all leases together at most half of the depth, so that calls at
    -- other instances find tokens.
    lease = math.min(wanted, math.floor((amount - reserve) / interval / 2), math.floor(burst / 2) - leased / interval)
    if lease < 0 then lease = 0 end
    amount = amount - lease * interval
else
    local later, level, out = now, amount, leased
    for _, one in ipairs(kept) do
        if full - out >= need + reserve then break end
        level = math.min(full - out, level + (one.id + lasts - later) * 1000)
        later, out = one.id + lasts, out - one.worth
    end
    wait = (later - now) * 1000 + need + reserve - level
end

if taken == 1 or returned or shift > 0 then
    version = math.max(now, found - shift + 1)
    if lease > 0 then kept[#kept + 1] = { id = version, worth = lease * interval } end
    local state = { string.format('%.0f %.0f', version, amount) }
    for _, one in ipairs(kept) do
        state[#state + 1] = string.format('%.0f %.0f', one.id, one.worth / interval)
    end
    -- A full bucket without leases need not be stored.
    local lives = (full - amount) / 1000000 + 1
    if #kept > 0 then lives = lives + (kept[#kept].id + lasts - now) / 1000 end
    redis.call('SET', KEYS[1], table.concat(state, ' '), 'PX', math.ceil(lives))
else
    version = found
end
return { taken, amount, others, lease, version, wait }
