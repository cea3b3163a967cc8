-- Lowers the rate of all nodes after a throttle, as service/domain/adaptive_rate.py does for one. All times are whole
-- microseconds of the server's clock.
--
-- KEYS[1]  the instant at which the next call may be made
-- KEYS[2]  the limit, as in reserve.lua, with the instant of the latest decrease in it: decreased
-- ARGV     configured rate (calls a second; 0: unlimited), calls accepted a second, the share of calls that were throttled,
--          the pause that was asked for (us), least share of a decrease, time between two decreases (us), growth a second,
--          at how many times its rate a limit ends, least rate, milliseconds for which the limit is kept

local configured, taken, share, pause = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local least, every, growth, lifted_at = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local min_rate, lasts = tonumber(ARGV[9]), tonumber(ARGV[10])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local kept = redis.call('HMGET', KEYS[2], 'rate', 'since', 'step', 'until', 'decreased')
local rate, since, step = tonumber(kept[1] or 0), tonumber(kept[2] or 0), tonumber(kept[3] or 0)
local paused, decreased = tonumber(kept[4] or 0), tonumber(kept[5] or 0)
paused = math.max(paused, now + pause)
redis.call('HSET', KEYS[2], 'until', string.format('%.0f', paused), 'seen', string.format('%.0f', now))
if redis.call('PTTL', KEYS[2]) < lasts + pause / 1000 then
    redis.call('PEXPIRE', KEYS[2], lasts + math.ceil(pause / 1000))
end
-- A decrease in the future was made by the clock of another server.
if now - decreased < every and decreased <= now then return 0 end

local current = configured
if rate > 0 then
    local grown = rate + step * math.max(0, now - since) / 1000000
    if grown < lifted_at * rate and (configured == 0 or grown < configured) then current = grown end
end
local lowered = current * (1 - math.max(least, share / 2))
if current == configured then lowered = configured == 0 and taken or math.min(lowered, taken) end
lowered = math.max(min_rate, lowered)
redis.call('HSET', KEYS[2], 'rate', tostring(lowered), 'since', string.format('%.0f', math.max(now, paused)),
    'step', tostring(math.max(min_rate, lowered * growth)), 'decreased', string.format('%.0f', now))
redis.call('HINCRBY', KEYS[2], 'epoch', 1)
-- The places that were reserved at the higher rate are void.
redis.call('DEL', KEYS[1])
return 1
