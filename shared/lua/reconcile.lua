-- ARGV: most attempts, most leases to take back, lease in seconds.
-- After it: no lease is overdue, no job that was to be cancelled by now goes on, and there are not
-- many more messages than segments wait; returns each
-- model and how many messages are missing in its queue.
-- All workers call this; one a second and a half is enough.
local max_attempts, limit, lease_s = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if not redis.call('SET', 'tts:reconciled', '1', 'NX', 'PX', 1500) then return {} end
local last = tonumber(redis.call('GETSET', 'tts:last_reconciled', now()) or now())
-- Nobody reconciled for so long: Redis was away, and nobody could renew either.
local was_away = now() - last > AWAY_S
for _, segment in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', now(), 'LIMIT', 0, limit)) do
  if not status_of(segment_key(segment)) then
    redis.call('ZREM', LEASES, segment) -- somebody deleted it
  elseif was_away then
    redis.call('ZADD', LEASES, now() + lease_s / 2, segment)
  else
    take_back(segment, max_attempts)
  end
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', DEADLINES, '-inf', now(), 'LIMIT', 0, limit)) do
  end_overdue(id)
end
-- A message too many costs a look; one too few would leave a segment waiting.
local missing, models = {}, {}
for _, key in ipairs({ 'tts:models', QUEUES }) do
  for _, model in ipairs(redis.call('HKEYS', key)) do models[model] = true end
end
for model in pairs(models) do
  local queue, waiting = 'tts.' .. model, number(QUEUES, model)
  local more = waiting - redis.call('LLEN', queue)
  if more > 0 then
    missing[#missing + 1] = model
    missing[#missing + 1] = more
  elseif more < -MOST_STALE then
    redis.call('LTRIM', queue, 0, waiting + MOST_STALE - 1)
  end
end
return missing
