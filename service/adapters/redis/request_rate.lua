-- Counts requests of one client (GCRA). All times are microseconds of the server's clock.
--
-- KEYS[1]  the instant at which the client has its whole allowance again
-- ARGV     interval between requests (us, may have a fraction), burst, requests made now
-- Returns  the number of these that are allowed, and the us until the allowance was whole before them

local interval, burst, made = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local stored = tonumber(redis.call('GET', KEYS[1]) or 0)
-- No client can be further ahead than its whole burst. A value beyond that is from before the clock was set back.
local before = math.min(math.max(stored, now), now + math.ceil(burst * interval))
local allowed = math.max(0, math.min(made, math.floor(burst - (before - now) / interval)))
local after = before + allowed * interval
if allowed > 0 or before < stored then
    redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.max(1, math.ceil((after - now) / 1000)))
end
return {allowed, math.ceil(before - now)}
