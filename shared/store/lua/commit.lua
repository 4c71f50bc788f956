-- ARGV: segment id, epoch, worker, lease in seconds, object key, samples, truncated (0 or 1), batch
-- size, bytes.
-- After it: one result is committed and the job counts it once, or false: the epoch is stale.
-- Returns the claim on the job's join, for the same worker, when this was the last segment; else {}.
local segment, epoch, worker, lease_s, object, samples, truncated, batch, bytes = unpack(ARGV)
local key, id = segment_key(segment), job_of(segment)
local job = job_key(id)
if not holds_lease(segment, epoch) then
  -- Perhaps this very step was done before, and its answer was lost with the connection.
  local before, result = unpack(redis.call('HMGET', key, 'epoch', 'key'))
  if before ~= epoch or result ~= object then
    -- Each refused epoch counts once; a segment that was deleted is not made again to note it.
    if before and redis.call('HGET', key, 'refused') ~= epoch then
      redis.call('HSET', key, 'refused', epoch)
      count_event('commits_refused', is_open(id) and 'superseded' or 'ended', redis.call('HGET', job, 'model'))
    end
    return false
  end
  local join = id .. ':join'
  return holder(join) == worker and segment ~= join and claim_payload(join) or {}
end
settle_turn(segment, math.max(MIN_FRAMES, math.ceil(samples / @SAMPLES_PER_FRAME@)))
dequeue(segment)
transition(key, 'completed')
redis.call('HSET', key, 'key', object, 'samples', samples, 'truncated', truncated)
if is_join(segment) then
  redis.call('HSET', job, 'result_key', object, 'result_bytes', bytes, 'samples', samples)
  record_history(id, 'joined', { w = worker }, true)
  end_job(id, 'completed')
  return {}
end
record_throughput('', 1)
record_throughput(':samples', samples)
redis.call('HINCRBY', job, 'truncated', truncated)
local owner, model = unpack(redis.call('HMGET', job, 'owner', 'model'))
count_event('segments_completed', '-', model)
count_event('samples', '-', model, samples)
if truncated == '1' then
  count_event('segments_truncated', '-', model)
  record_attempt(segment, 'truncated')
end
if is_counted(id) then
  add_counter(OPEN_SEGMENTS, owner, -1)
else
  add_usage(owner, 'samples', samples)
end
redis.call('HDEL', job, 'unreadable_since')
redis.call('HINCRBY', job, 'samples', samples)
redis.call('HINCRBY', job, 'batch:' .. batch, 1)
local completed, total = redis.call('HINCRBY', job, 'completed', 1), number(job, 'total')
if completed < total then return {} end
create_segment(id .. ':join', total, '', '', 0)
return lease(id .. ':join', worker, lease_s)
