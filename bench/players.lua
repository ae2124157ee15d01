-- Requests for wrk; each request is of the next player. TOKENS is the path of a file with one access token per line.
-- REQUEST is one of `kinds`. DELAY_MS is the pause of each connection between its requests.
local tokens = {}
for line in io.lines(os.getenv("TOKENS")) do
    tokens[#tokens + 1] = line
end

local kinds = {
    clicks = { "POST", "/api/v1/me/clicks", '{"clicks":5}' },
    keyed = { "POST", "/api/v1/me/clicks", '{"clicks":5}', keyed = true },
    purchase = { "POST", "/api/v1/me/generators/hand_crank/purchase", '{"quantity":1}' },
    state = { "GET", "/api/v1/me", nil },
    unchanged = { "GET", "/api/v1/me", nil, "*" },
    catalog = { "GET", "/api/v1/catalog", nil },
    top = { "GET", "/api/v1/rankings?limit=100", nil },
    rank = { "GET", "/api/v1/rankings/me?around=0", nil },
    around = { "GET", "/api/v1/rankings/me?around=5", nil },
    bare = { "GET", "/", nil },
}
local kind = kinds[os.getenv("REQUEST")]
local threads = 0

function setup(thread)
    thread:set("first", threads)
    threads = threads + 1
end

local ready = {}
local next_player
-- Makes idempotency keys that were never used before.
local run, sent = os.time() .. "-", 0

function init()
    for index, token in ipairs(tokens) do
        local headers = { ["Authorization"] = "Bearer " .. token }
        if kind[4] then
            headers["If-None-Match"] = kind[4]
        end
        if kind.keyed then
            headers["Idempotency-Key"] = "HERE"
        end
        if kind[3] then
            headers["Content-Type"] = "application/json"
        end
        ready[index] = wrk.format(kind[1], kind[2], headers, kind[3])
        if kind.keyed then
            ready[index] = { ready[index]:match("(.*)HERE(.*)") }
        end
    end
    -- Threads start at different players, and so do processes with different values of OFFSET (0 to 1).
    next_player = math.floor((first / 2 + tonumber(os.getenv("OFFSET") or 0)) * #ready)
end

function request()
    next_player = next_player % #ready + 1
    if not kind.keyed then
        return ready[next_player]
    end
    sent = sent + 1
    local parts = ready[next_player]
    return parts[1] .. run .. sent .. parts[2]
end

local pause = tonumber(os.getenv("DELAY_MS") or "0")
if pause > 0 then
    function delay()
        return pause
    end
end

function done(summary, latency)
    io.write(string.format("RESULT %.0f %.2f %.2f %d %d\n", summary.requests / summary.duration * 1e6,
        latency:percentile(50) / 1000, latency:percentile(99) / 1000, summary.errors.status,
        summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
    io.write(string.format("SLOWEST %.2f\n", latency.max / 1000))
end
