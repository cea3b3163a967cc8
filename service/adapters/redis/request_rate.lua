-- Counts a request of one client (GCRA). All times are whole microseconds of the server's clock.
--
-- KEYS[1]  the instant at which the client will have made up for all its requests
-- ARGV     interval between requests (us, may have a fraction), requests that may be made at once
-- Returns  whether it is allowed (0 or 1), how many more are now, us until all are again, us until one is

local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local before = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
local after = before + interval
local early = after - burst * interval - now
if early > 0 then
    return {0, 0, math.ceil(before - now), math.ceil(early)}
end
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.max(1, math.ceil((after - now) / 1000)))
return {1, math.floor(-early / interval), math.ceil(after - now), 0}
