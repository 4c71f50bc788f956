-- ARGV: job id, number of a segment, most segments of one step, and which are spoken again: 'failed', those
-- that are not committed, or 'all'.
-- After it: of a failed job, these segments from that number on wait in a set of their own, with no
-- attempt behind them; with the last of them the job is open again, and they wait in the queue. It counts
-- for its owner again, whatever the limits: it was accepted once.
-- Returns 'part' and the number from which to go on; 'retried', also if it was before and has not ended;
-- 'again' if the set was lost meanwhile; or the status of a job that has not failed, false without one.
local id, first, most, which = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local job, staged = job_key(id), retrying_key(id)
local status, model, owner, at, retries =
  unpack(redis.call('HMGET', job, 'status', 'model', 'owner', 'created_at', 'retries'))
if not status or status == 'admitting' then return false end
if status ~= 'failed' then return { retries and is_open(id) and 'retried' or status } end

local function forget_result(key)
  local samples, truncated = unpack(redis.call('HMGET', key, 'samples', 'truncated'))
  redis.call('HINCRBY', job, 'completed', -1)
  redis.call('HINCRBY', job, 'samples', 0 - samples) -- a mere -0 would be no number for Redis
  redis.call('HINCRBY', job, 'truncated', 0 - truncated)
  if is_counted(id) then settle_use(owner, 'samples', 0 - samples, at) end
  redis.call('HDEL', key, 'key', 'samples', 'truncated')
end

-- No transition: for everything else, a failed segment or job has ended.
local function stage(segment, place)
  local key = segment_key(segment)
  redis.call('HSET', key, 'status', 'queued', 'attempts', 0)
  redis.call('HDEL', key, 'reason', 'worker', 'charged')
  redis.call('ZREM', LEASES, segment)
  redis.call('ZADD', staged, place, segment)
end

local total = number(job, 'total')
local last = math.min(first + most, total)
for place = first, last - 1 do
  local segment = id .. ':' .. place
  local is_done = status_of(segment_key(segment)) == 'completed'
  if is_done and which == 'all' then forget_result(segment_key(segment)) end
  if not is_done or which == 'all' then stage(segment, place) end
end
redis.call('EXPIRE', staged, 3600)
if last < total then return { 'part', last } end

local completed, join = number(job, 'completed'), id .. ':join'
if completed == total then
  stage(join, total)
else
  redis.call('UNLINK', segment_key(join))
end
if redis.call('ZCARD', staged) ~= math.max(1, total - completed) then
  redis.call('UNLINK', staged)
  return { 'again' }
end

local chars, bytes, reserved, samples, cancel_at, priority =
  unpack(redis.call('HMGET', job, 'chars', 'bytes', 'reserved', 'samples', 'cancel_at', 'priority'))
redis.call('HSET', job, 'status', 'queued', 'failed', 0)
redis.call('HINCRBY', job, 'retries', 1)
redis.call('HDEL', job, 'completed_at', 'started_at', 'error_code', 'error_message', 'failed_segment',
  'unreadable_since')
redis.call('ZREM', ENDED, id)
redis.call('ZREM', LEFTOVERS, id)
if cancel_at and tonumber(cancel_at) > now() then
  redis.call('ZADD', DEADLINES, cancel_at, id)
else
  redis.call('HDEL', job, 'cancel_at')
end
add_counter(OPEN_JOBS, owner, 1)
add_counter(OPEN_CHARS, owner, chars)
if tonumber(bytes or 0) > 0 then add_counter(OPEN_BYTES, owner, bytes) end
if is_counted(id) then
  if total > completed then add_counter(OPEN_SEGMENTS, owner, total - completed) end
  settle_use(owner, 'samples', reserved - (samples or 0), at)
end
reopen_in_batch(job)
drop_segments(id, model, owner) -- what a worker of version 1 may have put back
count_waiting(model, priority, redis.call('ZCARD', staged))
redis.call('RENAME', staged, waiting_key(id))
redis.call('PERSIST', waiting_key(id))
record_history(id, 'retried', { c = which, n = redis.call('ZCARD', waiting_key(id)) }, true)
join_queue(id, model, owner)
return { 'retried' }
