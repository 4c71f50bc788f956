-- ARGV: event id, attempt, seconds until the next one ('' if there is none: it is done with).
-- After it: the event is gone, or due again; and its receiver may be told the next thing. Nothing has
-- changed if the event is not there any more, or another attempt is under way that has more to say.
local event, attempt, again_s = unpack(ARGV)
local receiver, newest = unpack(redis.call('HMGET', event_key(event), 'receiver', 'attempt'))
if not receiver then return end
if again_s == '' then
  redis.call('DEL', event_key(event))
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
