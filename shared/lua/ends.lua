-- How segments and jobs end.

-- A job that ends early takes its segments with it: nothing of it waits, and no claim on it holds.
local function drop(segment)
  if move(segment_key(segment), 'cancelled') then dequeue(segment) end
end

local function end_job(id, status)
  local job = job_key(id)
  if not move(job, status) then return false end
  local owner, chars, total = unpack(redis.call('HMGET', job, 'owner', 'chars', 'total'))
  redis.call('HSET', job, 'completed_at', now())
  redis.call('ZADD', ENDED, now(), id)
  count(OPEN_JOBS, owner, -1)
  count(OPEN_CHARS, owner, -chars)
  if status ~= 'completed' then
    for place = 0, total - 1 do drop(id .. ':' .. place) end
    drop(id .. ':join')
  end
  return true
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
  else
    fail_segment(segment, 'worker_lost',
      'the worker died or stalled in each of ' .. max_attempts .. ' attempts')
  end
end
