-- ARGV: most attempts, most entries of each kind to deal with, lease in seconds.
-- After it, as far as the limit allows: segments with an overdue lease wait again, jobs past their deadline
-- are cancelled, stopped admissions are given up, some segments of a deleted job are gone, and surplus
-- messages are dropped. Returns 1 if the limit was reached, else 0, then each model and how many messages
-- are missing in its queue.
-- All workers call this; one call in 1.5 s is enough.
local EVERY_S = 1.5
-- A pause of all workers that is longer than this means that Redis was away.
local AWAY_S = 5
-- Surplus messages of a model that are left in its queue.
local MAX_STALE = 500
local max_attempts, limit, lease_s = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
-- The time is in the value: a key's own end is far away once the clock has been set back. Versions before 2
-- reconcile less, and note that under another key.
local last = tonumber(redis.call('GET', RECONCILED_AT) or now() - EVERY_S)
local since_s = now() - last
if since_s >= 0 and since_s < EVERY_S then return { 0 } end
redis.call('SET', RECONCILED_AT, now())
local reached = false
local function each(key, from, to, deal_with)
  local found = redis.call('ZRANGE', key, from, to, 'BYSCORE', 'LIMIT', 0, limit)
  for _, member in ipairs(found) do deal_with(member) end
  reached = reached or #found == limit
end

-- Workers renew to now plus a lease: what ends later was written before the clock was set back.
each(LEASES, '(' .. now() + lease_s + 1, '+inf', function(segment)
  redis.call('ZADD', LEASES, now() + lease_s, segment)
end)
each(ADMITTING, '(' .. now() + ADMITTED_WITHIN_S + 1, '+inf', function(id)
  redis.call('ZADD', ADMITTING, now() + ADMITTED_WITHIN_S, id)
end)
each(LEASES, '-inf', now(), function(segment)
  if not status_of(segment_key(segment)) then
    redis.call('ZREM', LEASES, segment) -- it was deleted
  elseif since_s > AWAY_S then
    -- No worker could renew either.
    redis.call('ZADD', LEASES, now() + lease_s / 2, segment)
  else
    take_back(segment, max_attempts)
  end
end)
each(DEADLINES, '-inf', now(), end_overdue)
each(ADMITTING, '-inf', now(), abandon_admission)
local deleted = redis.call('ZRANGE', DELETING, 0, 0)[1]
if deleted then reached = delete_segments(deleted) > 0 or reached end
if reached then redis.call('SET', RECONCILED_AT, now() - EVERY_S) end

-- A message too many costs a claim that finds nothing; one too few would leave a segment waiting.
local missing, models = { reached and 1 or 0 }, {}
for _, key in ipairs({ MODELS, QUEUES }) do
  for _, model in ipairs(redis.call('HKEYS', key)) do models[model] = true end
end
for model in pairs(models) do
  local queue, waiting = messages_key(model), number(QUEUES, model)
  -- Messages of a paused model would be taken, and sent again, all the time.
  if redis.call('HEXISTS', PAUSED, model) == 1 then waiting = 0 end
  local more = waiting - redis.call('LLEN', queue)
  if more > 0 then
    missing[#missing + 1] = model
    missing[#missing + 1] = more
  elseif more < -MAX_STALE then
    redis.call('LTRIM', queue, 0, waiting + MAX_STALE - 1)
  end
end
return missing
