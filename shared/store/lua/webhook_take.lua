-- ARGV: lease in seconds.
-- After it: the event that is due first is the caller's for one lease, its attempt is counted, and its
-- receiver gets no other meanwhile; returns its fields. False: nothing is due.
local lease_s = tonumber(ARGV[1])
-- A receiver that is leased for longer than a lease: the clock was set back.
local ahead = '(' .. now() + lease_s + 1
for _, receiver in ipairs(redis.call('ZRANGE', RECEIVERS, ahead, '+inf', 'BYSCORE', 'LIMIT', 0, 10)) do
  if redis.call('EXISTS', busy_key(receiver)) == 1 then redis.call('ZADD', RECEIVERS, now(), receiver) end
end
while true do
  local receiver = redis.call('ZRANGE', RECEIVERS, '-inf', now(), 'BYSCORE', 'LIMIT', 0, 1)[1]
  if not receiver then return false end
  local event, due = unpack(redis.call('ZRANGE', events_key(receiver), 0, 0, 'WITHSCORES'))
  if not event then
    redis.call('ZREM', RECEIVERS, receiver)
  elseif redis.call('EXISTS', event_key(event)) == 0 then
    redis.call('ZREM', events_key(receiver), event) -- it was deleted
  elseif tonumber(due) > now() then
    redis.call('ZADD', RECEIVERS, due, receiver)
  else
    redis.call('HINCRBY', event_key(event), 'attempt', 1)
    redis.call('ZADD', RECEIVERS, now() + lease_s, receiver)
    redis.call('SET', busy_key(receiver), event, 'PX', math.ceil(lease_s * 1000))
    return redis.call('HGETALL', event_key(event))
  end
end
