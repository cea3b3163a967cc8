-- Reserves calls at an even rate (GCRA). All times are whole microseconds of the server's clock.
--
-- KEYS[1]  the instant at which the next call may be made
-- ARGV     interval between calls (us, may have a fraction), calls, how much idle time may be made up for (us),
--          how long the first must wait at least (us)
-- Returns  when the first of the calls may be made, relative to now (us): the past when there was room

local interval, calls, tolerance, least = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local first = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), least > 0 and now + least or now - tolerance)
-- Rounded up once per reservation: never above the limit, and a microsecond late at most.
local next_call = first + math.ceil(calls * interval)
redis.call('SET', KEYS[1], string.format('%.0f', next_call), 'PX', math.max(1, math.ceil((next_call - now) / 1000)) + 1000)
return first - now
