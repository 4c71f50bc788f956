-- ARGV: signer, event id.
-- After it: an event of the signer that was given up is due now, with all its attempts before it.
-- Returns whether there was one.
local signer, event = unpack(ARGV)
local key = event_key(event)
if redis.call('ZREM', failed_events_key(signer), event) == 0 then return false end
local receiver, attempt, job, kind = unpack(redis.call('HMGET', key, 'receiver', 'attempt', 'job', 'type'))
if not receiver then return false end
redis.call('HSET', key, 'before', attempt)
redis.call('HDEL', key, 'failed_at', 'reason')
redis.call('PERSIST', key)
queue_event(event, receiver)
record_history(job, 'webhook_resent', { k = kind, a = tonumber(attempt) }, true)
return 1
