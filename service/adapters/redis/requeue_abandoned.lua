-- Puts back the unfinished entries of dead consumers and of slow ones.
--
-- KEYS[1]  the stream
-- ARGV     group, idle (ms), maximum of entries to handle, maximum of tries, then the living consumers
-- Returns  {entries put back, bodies of the entries given up, 1 if there may be more}
--
-- It is one script because XGROUP DELCONSUMER destroys the pending entries of the consumer: a consumer may only be
-- deleted while it has none. An entry is appended again instead of claimed, so that the group gives it to the next
-- free node. The field `tries` counts this, because the group's own delivery count starts again with a new entry.

local stream, group = KEYS[1], ARGV[1]
local idle, room, max_tries = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local living = {}
for i = 5, #ARGV do
  living[ARGV[i]] = true
end

local requeued, given_up = 0, {}

local function put_back(id)
  local entry = redis.call('XRANGE', stream, id, id)[1]
  if entry then -- a deleted entry can only be acknowledged
    local fields = entry[2]
    local body, tries, beside = '', 0, {}
    for i = 1, #fields, 2 do
      if fields[i] == 'body' then body = fields[i + 1] end
      if fields[i] == 'tries' then tries = tonumber(fields[i + 1]) or 0 end
      if fields[i] == 'traceparent' then beside = {fields[i], fields[i + 1]} end
    end
    if tries >= max_tries then
      given_up[#given_up + 1] = body
    else
      redis.call('XADD', stream, '*', 'body', body, 'tries', string.format('%d', tries + 1), unpack(beside))
      requeued = requeued + 1
    end
  end
  redis.call('XACK', stream, group, id)
  redis.call('XDEL', stream, id)
  room = room - 1
end

for _, pending in ipairs(redis.call('XPENDING', stream, group, 'IDLE', idle, '-', '+', room)) do
  put_back(pending[1])
end

for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', stream, group)) do
  local name
  for i = 1, #consumer, 2 do
    if consumer[i] == 'name' then name = consumer[i + 1] end
  end
  if not living[name] then
    if room > 0 then
      for _, pending in ipairs(redis.call('XPENDING', stream, group, '-', '+', room, name)) do
        put_back(pending[1])
      end
    end
    if #redis.call('XPENDING', stream, group, '-', '+', 1, name) == 0 then
      redis.call('XGROUP', 'DELCONSUMER', stream, group, name)
    end
  end
end

return {requeued, given_up, room <= 0 and 1 or 0}
