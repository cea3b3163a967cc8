-- Extends a lock that this owner still holds.
--
-- KEYS[1]  the lock
-- ARGV     "<token>:<owner>", ttl (ms)
-- Returns  1, or 0 when this owner no longer holds it

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
