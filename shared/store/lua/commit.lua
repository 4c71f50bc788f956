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
  if before ~= epoch or result ~= object then return false end
  local join = id .. ':join'
  return holder(join) == worker and segment ~= join and claim_payload(join) or {}
end
settle_turn(segment, math.max(MIN_FRAMES, math.ceil(samples / @SAMPLES_PER_FRAME@)))
dequeue(segment)
transition(key, 'completed')
redis.call('HSET', key, 'key', object, 'samples', samples, 'truncated', truncated)
if is_join(segment) then
  redis.call('HSET', job, 'result_key', object, 'result_bytes', bytes, 'samples', samples)
  end_job(id, 'completed')
  return {}
end
record_throughput('', 1)
record_throughput(':samples', samples)
redis.call('HINCRBY', job, 'truncated', truncated)
local owner = redis.call('HGET', job, 'owner')
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
