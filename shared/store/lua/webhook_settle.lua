-- ARGV: event id, attempt, outcome: 'done', 'failed' or 'again', the reason or the receiver's answer; after 'failed'
-- for how many seconds the event is kept and how many of its signer are; after 'again' the seconds until it is due.
-- After it: the event is gone, or kept as given up, or due again; and its receiver may get the next
-- event. Nothing has changed if the event is not there any more, or if a newer attempt is under way and
-- this one has failed.
local event, attempt, outcome, reason = unpack(ARGV)
local ENTRIES = { done = 'webhook_delivered', failed = 'webhook_given_up', again = 'webhook_failed' }

local function keep(kept_s, most)
  local failed = failed_events_key(redis.call('HGET', event_key(event), 'signer'))
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

-- An attempt counts once, however often this step is sent.
local function count_attempt(what)
  if redis.call('HGET', event_key(event), 'settled') == attempt then return end
  redis.call('HSET', event_key(event), 'settled', attempt)
  count_event('webhook_attempts', what)
end

local receiver, newest, job, kind =
  unpack(redis.call('HMGET', event_key(event), 'receiver', 'attempt', 'job', 'type'))
if not receiver then return end
if outcome == 'done' then
  count_attempt('delivered')
  redis.call('DEL', event_key(event))
  redis.call('ZREM', events_key(receiver), event)
elseif outcome == 'failed' and newest == attempt then
  count_attempt('given_up')
  keep(unpack(ARGV, 5))
  redis.call('ZREM', events_key(receiver), event)
elseif outcome == 'again' and newest == attempt then
  count_attempt('failed')
  redis.call('ZADD', events_key(receiver), now() + ARGV[5], event)
else
  return
end
record_history(job, ENTRIES[outcome], { k = kind, a = tonumber(attempt), r = reason }, outcome ~= 'again')
-- A newer attempt is under way: until its lease is over, the receiver gets no other event.
if newest ~= attempt then return end
redis.call('DEL', busy_key(receiver))
local next_due = redis.call('ZRANGE', events_key(receiver), 0, 0, 'WITHSCORES')[2]
if next_due then
  redis.call('ZADD', RECEIVERS, next_due, receiver)
else
  redis.call('ZREM', RECEIVERS, receiver)
end
