-- Takes a free lock and gives out its next fencing token.
--
-- KEYS[1]  the lock: "<token>:<owner>" while it is held
-- KEYS[2]  the last token given out; it outlives the lock
-- ARGV     owner, ttl (ms), the number that the new token must exceed
-- Returns  the new token, or nil when another owner holds the lock

local last = math.max(tonumber(redis.call('GET', KEYS[2]) or 0), tonumber(ARGV[3]))
local number = string.format('%d', last + 1)
if not redis.call('SET', KEYS[1], number .. ':' .. ARGV[1], 'NX', 'PX', ARGV[2]) then
  -- Redis keeps the instant of expiry. After its clock was set back by an hour, the lock of a dead owner would last
  -- for an hour longer. No owner may hold it for longer than the ttl.
  if redis.call('PTTL', KEYS[1]) > tonumber(ARGV[2]) then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
  end
  return nil
end
redis.call('SET', KEYS[2], number)
return tonumber(number)
