-- How segments and jobs end.

-- A job that ends early takes its segments with it: nothing of it waits, and no claim on it holds.
local function drop_segments(id, total)
  local model, owner = unpack(redis.call('HMGET', job_key(id), 'model', 'owner'))
  local dropped = redis.call('ZCARD', waiting_key(id))
  local suspects = redis.call('EXISTS', suspects_key(model)) == 1
  local function drop(segment)
    if not move(segment_key(segment), 'cancelled') then return end
    redis.call('ZREM', LEASES, segment)
    if suspects then dropped = dropped + redis.call('ZREM', suspects_key(model), segment) end
  end
  for place = 0, total - 1 do drop(id .. ':' .. place) end
  drop(id .. ':join')
  redis.call('DEL', waiting_key(id))
  if dropped > 0 then count(QUEUES, model, -dropped) end
  leave_queue(id, model, owner)
end

local function end_job(id, status)
  local job = job_key(id)
  if not move(job, status) then return false end
  local owner, chars, total = unpack(redis.call('HMGET', job, 'owner', 'chars', 'total'))
  redis.call('HSET', job, 'completed_at', now())
  redis.call('ZADD', ENDED, now(), id)
  redis.call('ZADD', LEFTOVERS, now(), id)
  redis.call('ZREM', DEADLINES, id)
  count(OPEN_JOBS, owner, -1)
  count(OPEN_CHARS, owner, -chars)
  if status ~= 'completed' then drop_segments(id, total) end
  count_in_batch(job, status)
  notify(id, status)
  return true
end

-- It was to be cancelled by now, whatever has become of it.
local function end_overdue(id)
  redis.call('ZREM', DEADLINES, id)
  if not end_job(id, 'cancelled') then return end
  redis.call('HSET', job_key(id), 'error_code', 'deadline_passed',
    'error_message', 'it had not ended within the time that Cancel-After gave it')
end

local function fail_segment(segment, code, message)
  local id = job_of(segment)
  dequeue(segment)
  if not move(segment_key(segment), 'failed') then return end
  redis.call('HINCRBY', job_key(id), 'failed', 1)
  if end_job(id, 'failed') then
    redis.call('HSET', job_key(id), 'error_code', code, 'error_message', message)
  end
end

-- A lease ran out: the segment waits again, or fails after its last attempt.
local function take_back(segment, max_attempts)
  if number(segment_key(segment), 'attempts') < max_attempts then
    enqueue_again(segment, max_attempts)
    return
  end
  local reason = redis.call('HGET', segment_key(segment), 'reason')
  if reason then
    fail_segment(segment, 'synthesis_failed', reason)
  else
    fail_segment(segment, 'worker_lost',
      'the worker died or stalled in each of ' .. max_attempts .. ' attempts')
  end
end
