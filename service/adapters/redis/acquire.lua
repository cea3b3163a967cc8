-- Takes a lock that nobody holds, and counts who had it.
--
-- KEYS[1]  the lock: "<number>:<owner>" while it is held
-- KEYS[2]  its fence: the last number given out, which outlives the lock
-- ARGV     owner, ttl (ms), the number that the new one has to be above
-- Returns  the new number, or nil when another holds the lock

local last = math.max(tonumber(redis.call('GET', KEYS[2]) or 0), tonumber(ARGV[3]))
local number = string.format('%d', last + 1)
if not redis.call('SET', KEYS[1], number .. ':' .. ARGV[1], 'NX', 'PX', ARGV[2]) then
  return nil
end
redis.call('SET', KEYS[2], number)
return tonumber(number)
