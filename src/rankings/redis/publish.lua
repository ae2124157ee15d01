-- Writes standings to the boards and, if there is a build, to the build. A standing never replaces a newer one.
-- KEYS: meta, players and three boards; then the same five of the build.
-- ARGV: season, time of the scores (microseconds), and the build's token if only the build is written (else empty);
--       then for each player: id, data (stamp and name, see player_data in codec.rs), and three scores, which are empty
--       if the player is removed.
-- Returns the time and the season of the last complete build (empty if the boards are incomplete), and the number of
-- keys that were removed because the boards were damaged. Fails with CUTSHORT if the build was interrupted.
local FIELDS = 5
local season = tonumber(ARGV[1])
local ids, first = {}, 4
for i = first, #ARGV, FIELDS do
    ids[#ids + 1] = ARGV[i]
end

-- Empties the season board if `season` is new. Returns whether scores of `season` belong on the board.
local function start_season(meta, board)
    local held = tonumber(redis.call('HGET', meta, 'season') or '')
    if not held or season > held then
        redis.call('UNLINK', board)
        redis.call('HSET', meta, 'season', ARGV[1])
    end
    return not held or season >= held
end

local function put(keys, in_season)
    local held = redis.call('HMGET', keys[2], unpack(ids))
    local kept, gone, ranked = {}, {}, { {}, {}, {} }
    for n = 1, #ids do
        local at = first + (n - 1) * FIELDS
        local revision, time = struct.unpack('>dd', ARGV[at + 1])
        local newer = true
        if held[n] then
            local held_revision, held_time = struct.unpack('>dd', held[n])
            newer = revision > held_revision or (revision == held_revision and time >= held_time)
        end
        if newer then
            kept[#kept + 1] = ids[n]
            kept[#kept + 1] = ARGV[at + 1]
            if ARGV[at + 2] == '' then
                gone[#gone + 1] = ids[n]
            else
                for board = 1, 3 do
                    if board < 3 or in_season then
                        ranked[board][#ranked[board] + 1] = ARGV[at + 1 + board]
                        ranked[board][#ranked[board] + 1] = ids[n]
                    end
                end
            end
        end
    end
    if #kept > 0 then
        redis.call('HSET', keys[2], unpack(kept))
    end
    for board = 1, 3 do
        if #ranked[board] > 0 then
            redis.call('ZADD', keys[2 + board], unpack(ranked[board]))
        end
        if #gone > 0 then
            redis.call('ZREM', keys[2 + board], unpack(gone))
        end
    end
end

local function write(keys)
    local in_season = start_season(keys[1], keys[5])
    if #ids > 0 then
        put(keys, in_season)
    end
    store_sizes(keys)
end

local live = { KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5] }
local build = { KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10] }
local token = ask('HGET', build[1], 'token')
if token and not is_undamaged(build) then
    -- The build lost a part. Remove it; its builder notices that the token is missing.
    redis.call('UNLINK', unpack(build))
    token = nil
end
if ARGV[3] ~= '' then
    if token ~= ARGV[3] then
        return redis.error_reply('CUTSHORT another build took over, or a part of this one was lost')
    end
    write(build)
    return { '', '', 0 }
end
if token then
    write(build)
end
local meta = complete(live)
if not meta then
    -- Incomplete boards are not read, and a rebuild writes all standings. Remove the remaining keys.
    return { '', '', redis.call('UNLINK', unpack(live)) }
end
write(live)
if not meta[3] or tonumber(ARGV[2]) > tonumber(meta[3]) then
    redis.call('HSET', live[1], 'as_of', ARGV[2])
end
return { meta[1], meta[2], 0 }
