-- Releases a lock if this owner still holds it.
--
-- KEYS[1]  the lock
-- ARGV     "<token>:<owner>"

if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
