-- ARGV: most attempts, most leases to take back.
-- After it: no lease is overdue; returns each model and how many messages are missing in its queue.
-- All workers call this; one a second and a half is enough.
if not redis.call('SET', 'tts:reconciled', '1', 'NX', 'PX', 1500) then return {} end
local max_attempts, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
for _, segment in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', now(), 'LIMIT', 0, limit)) do
  if status_of(segment_key(segment)) then
    take_back(segment, max_attempts)
  else
    redis.call('ZREM', LEASES, segment) -- somebody deleted it
  end
end
-- A message too many costs a look; one too few would leave a segment waiting.
local missing = {}
local queues = redis.call('HGETALL', QUEUES)
for i = 1, #queues, 2 do
  local more = queues[i + 1] - redis.call('LLEN', 'tts.' .. queues[i])
  if more > 0 then
    missing[#missing + 1] = queues[i]
    missing[#missing + 1] = more
  end
end
return missing
