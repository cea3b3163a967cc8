-- Counts requests of one client (GCRA). All times are microseconds of the server's clock.
--
-- KEYS[1]  the instant at which the client will have made up for all its requests
-- ARGV     interval between requests (us, may have a fraction), requests that may be made at once, requests made now
-- Returns  how many of these are allowed, us until those before them have been made up for

local interval, burst, made = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local before = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
local allowed = math.max(0, math.min(made, math.floor(burst - (before - now) / interval)))
if allowed > 0 then
    local after = before + allowed * interval
    redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.max(1, math.ceil((after - now) / 1000)))
end
return {allowed, math.ceil(before - now)}
