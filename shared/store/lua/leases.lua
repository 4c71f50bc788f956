-- Leases: a segment is given to a worker.

-- The data that a worker needs of a segment that it holds.
local function claim_payload(segment)
  local key = segment_key(segment)
  local epoch, attempts, text = unpack(redis.call('HMGET', key, 'epoch', 'attempts', 'text'))
  local job = redis.call('HMGET', job_key(job_of(segment)), 'spec', 'owner', 'created_at', 'request', 'traceparent')
  return { segment, epoch, attempts, text, unpack(job) }
end

-- The next epoch of a segment: the time in milliseconds, and later than its last one. A counter would
-- give the same number out twice when Redis comes back without its last second, or a replica takes over.
local function next_epoch(key)
  local epoch = math.max(number(key, 'epoch') + 1, math.floor(now() * 1000))
  redis.call('HSET', key, 'epoch', string.format('%d', epoch))
end

-- Lease a waiting segment to a worker; returns what the worker has to know.
local function lease(segment, worker, lease_s)
  local key, job = segment_key(segment), job_key(job_of(segment))
  dequeue(segment)
  transition(key, 'in_progress')
  redis.call('HSET', key, 'worker', worker)
  redis.call('HDEL', key, 'reason')
  local attempt = redis.call('HINCRBY', key, 'attempts', 1)
  if attempt > 1 then count_event('segments_retried', '-', redis.call('HGET', job, 'model')) end
  record_claim(segment, attempt)
  next_epoch(key)
  redis.call('ZADD', LEASES, now() + lease_s, segment)
  if transition(job, 'in_progress') then
    redis.call('HSET', job, 'started_at', now())
    notify(job_of(segment), 'in_progress')
  end
  return claim_payload(segment)
end
