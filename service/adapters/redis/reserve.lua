-- Reserves calls at an even rate (GCRA), which a throttle may have lowered. All times are whole microseconds of the
-- server's clock.
--
-- KEYS[1]  the instant at which the next call may be made
-- KEYS[2]  the limit that a throttle has set, a hash: rate (calls a second), since, step (calls a second, each second),
--          until (end of the pause), epoch (of decreases), seen (the clock at the latest reservation), and the configured
--          rate: version, interval, used (the clock at the latest reservation by this version)
-- ARGV     configured interval between calls (us, may have a fraction; 0: unlimited), calls,
--          how much idle time may be made up for (s), how long the first must wait at least (us),
--          at how many times its rate a limit ends, the version of the configured rate,
--          how long calls of an earlier version may still begin (us), how long a version that is not used is kept (us),
--          only so many calls as the rate lets begin in this time, but one at least (us; 0: all), no call if the first would
--          have to wait longer than this (us; 0: however long)
-- Returns  when the first of the calls may be made, relative to now (us): the past when there was room; the interval
--          between them (us, text); the limit: rate and step (text), since and until (us from now), epoch; the calls
--          that were reserved

local interval, calls, burst, least, lifted_at = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]),
    tonumber(ARGV[5])
local version, settle, unused = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local ahead, within = tonumber(ARGV[9]), tonumber(ARGV[10])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local kept = redis.call('HMGET', KEYS[2], 'rate', 'since', 'step', 'until', 'epoch', 'seen', 'version', 'interval',
    'used')
local rate, since, step, paused = tonumber(kept[1] or 0), tonumber(kept[2] or 0), tonumber(kept[3] or 0), tonumber(kept[4] or 0)
local next_call = tonumber(redis.call('GET', KEYS[1]) or 0)
local known, used = tonumber(kept[7] or -1), tonumber(kept[9] or 0)
-- A replica with a slower clock may have taken over: what was stored by the other clock moves with it.
local back = math.max(0, tonumber(kept[6] or 0) - now)
since, paused, next_call, used = since - back, paused - back, next_call - back, used - back
if back > 0 then
    redis.call('HSET', KEYS[2], 'since', string.format('%.0f', since), 'until', string.format('%.0f', paused))
end

local is_behind, was_changed = version < known and now - used < unused, false
if is_behind then
    -- This node has not read the latest change yet. Other nodes have.
    interval = tonumber(kept[8])
elseif known >= 0 and version ~= known then
    -- Calls of the earlier version begin for a while longer, at their places. Later ones are void. So the calls of both
    -- together never come faster than one of the two rates.
    next_call, was_changed = math.min(next_call, now + settle), true
end

if rate > 0 then
    local grown = rate + step * math.max(0, now - since) / 1000000
    if grown < lifted_at * rate then
        interval = math.max(interval, 1000000 / grown)
    else
        rate = 0
        redis.call('HDEL', KEYS[2], 'rate', 'since', 'step', 'until')
    end
end
if was_changed and interval == 0 then
    next_call = 0
    redis.call('DEL', KEYS[1])
end
local first = math.max(next_call, paused, least > 0 and now + least or now)
local lasts = math.ceil(unused / 1000)
if interval > 0 then
    if ahead > 0 then calls = math.min(calls, math.max(1, math.floor(ahead / interval))) end
    if least == 0 and paused <= now then
        -- The idle time that may be made up for: whole calls, of which the first needs none.
        first = math.max(next_call, now - math.max(0, math.floor(burst * 1000000 / interval) - 1) * interval)
    end
    if within > 0 and first - now > within then calls = 0 end
    -- Rounded up once per reservation: never above the limit, and a microsecond late at most.
    next_call = first + math.ceil(calls * interval)
    lasts = math.max(lasts, math.ceil((next_call - now) / 1000) + 1000)
    redis.call('SET', KEYS[1], string.format('%.0f', next_call), 'PX', lasts)
end
if interval > 0 or version > 0 then
    redis.call('HSET', KEYS[2], 'seen', string.format('%.0f', now))
    if not is_behind then
        redis.call('HSET', KEYS[2], 'version', ARGV[6], 'interval', ARGV[1], 'used', string.format('%.0f', now))
    end
    if redis.call('PTTL', KEYS[2]) < lasts then redis.call('PEXPIRE', KEYS[2], lasts) end
end
return {math.floor(first - now), tostring(interval), tostring(rate), tostring(step), math.floor(since - now),
    math.floor(paused - now), tonumber(kept[5] or 0), calls}
