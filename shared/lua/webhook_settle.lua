-- ARGV: event id, attempt, seconds until the next one ('' if there is none), and then why it is given up
-- ('' if it is done with), for how many seconds it is kept, how many of its signer are kept.
-- After it: the event is gone, or kept as given up, or due again; and its receiver may be told the next thing. Nothing has
-- changed if the event is not there any more, or another attempt is under way that has more to say.
local event, attempt, again_s, reason, kept_s, most = unpack(ARGV)

local function keep()
  local failed = failed_key(redis.call('HGET', event_key(event), 'signer'))
  redis.call('HSET', event_key(event), 'failed_at', now(), 'reason', reason)
  redis.call('EXPIRE', event_key(event), kept_s)
  redis.call('ZADD', failed, now(), event)
  redis.call('EXPIRE', failed, kept_s)
  redis.call('ZREMRANGEBYSCORE', failed, '-inf', now() - kept_s)
  for _, oldest in ipairs(redis.call('ZRANGE', failed, 0, -1 - most)) do
    redis.call('DEL', event_key(oldest))
    redis.call('ZREM', failed, oldest)
  end
end

local receiver, newest = unpack(redis.call('HMGET', event_key(event), 'receiver', 'attempt'))
if not receiver then return end
if again_s == '' and reason == '' then
  redis.call('DEL', event_key(event))
  redis.call('ZREM', events_key(receiver), event)
elseif again_s == '' and newest == attempt then
  keep()
  redis.call('ZREM', events_key(receiver), event)
elseif newest == attempt then
  redis.call('ZADD', events_key(receiver), now() + again_s, event)
else
  return
end
-- Another attempt is under way: until its lease is over, the receiver is told nothing else.
if newest ~= attempt then return end
redis.call('DEL', busy_key(receiver))
local next_due = redis.call('ZRANGE', events_key(receiver), 0, 0, 'WITHSCORES')[2]
if next_due then
  redis.call('ZADD', RECEIVERS, next_due, receiver)
else
  redis.call('ZREM', RECEIVERS, receiver)
end
