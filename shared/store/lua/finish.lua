-- How segments and jobs end.

-- A job that ends early takes its segments out of the queue. The leases of those that are spoken go
-- with the next step of their worker, such as renewing them, or run out.
local function drop_segments(id, model, owner)
  clear_queue(id, model, owner)
  -- Few: a suspect has lost all its workers but the last.
  for _, suspect in ipairs(redis.call('ZRANGE', suspects_key(model), 0, -1)) do
    if job_of(suspect) == id and redis.call('ZREM', suspects_key(model), suspect) == 1 then
      count_waiting(model, redis.call('HGET', job_key(id), 'priority'), -1)
    end
  end
end

-- True of a job whose segments and audio were counted when it was admitted: versions before 2 did not.
local function is_counted(id) return number(job_key(id), 'version') >= 2 end

-- Takes a job out of the counters of what its owner has open.
local function close_account(id)
  local job = job_key(id)
  local owner, chars, bytes, total, completed =
    unpack(redis.call('HMGET', job, 'owner', 'chars', 'bytes', 'total', 'completed'))
  add_counter(OPEN_JOBS, owner, -1)
  add_counter(OPEN_CHARS, owner, -chars)
  if is_counted(id) and total ~= completed then
    add_counter(OPEN_SEGMENTS, owner, (completed or 0) - total)
  end
  if tonumber(bytes or 0) > 0 then add_counter(OPEN_BYTES, owner, -bytes) end
end

-- The audio that was reserved of a day's quota becomes the audio that was made.
local function settle_audio(id)
  if not is_counted(id) then return end
  local owner, reserved, samples, at =
    unpack(redis.call('HMGET', job_key(id), 'owner', 'reserved', 'samples', 'created_at'))
  settle_use(owner, 'samples', (samples or 0) - reserved, at)
end

-- `detail`: why, as fields of its entry in the history.
local function end_job(id, status, detail)
  local job = job_key(id)
  if not transition(job, status) then return false end
  local model, owner = unpack(redis.call('HMGET', job, 'model', 'owner'))
  redis.call('HSET', job, 'completed_at', now())
  redis.call('ZADD', ENDED, now(), id)
  -- The segments of a failed job are kept as long as the job: an operator may have it spoken on.
  if status ~= 'failed' then redis.call('ZADD', LEFTOVERS, now(), id) end
  redis.call('ZREM', DEADLINES, id)
  close_account(id)
  settle_audio(id)
  if status ~= 'completed' then drop_segments(id, model, owner) end
  count_event('jobs_ended', status, model)
  count_in_batch(job, status)
  record_history(id, status, detail, true)
  notify(id, status)
  return true
end

-- The deadline of a job has passed: cancel it, unless it has ended.
local function end_overdue(id)
  redis.call('ZREM', DEADLINES, id)
  local code, message = 'deadline_passed', 'it had not ended within the time that Cancel-After gave it'
  if not end_job(id, 'cancelled', { c = code, r = message }) then return end
  redis.call('HSET', job_key(id), 'error_code', code, 'error_message', message)
end

local function fail_segment(segment, code, message)
  local id = job_of(segment)
  dequeue(segment)
  if not transition(segment_key(segment), 'failed') then return end
  redis.call('HINCRBY', job_key(id), 'failed', 1)
  if end_job(id, 'failed', { s = place_of(segment), c = code, r = message }) then
    redis.call('HSET', job_key(id), 'error_code', code, 'error_message', message,
      'failed_segment', segment)
    count_event('jobs_failed', code, redis.call('HGET', job_key(id), 'model'))
  end
end

-- A lease ran out: the segment waits again, or fails after its last attempt.
local function take_back(segment, max_attempts)
  if not is_open(job_of(segment)) then
    redis.call('ZREM', LEASES, segment)
    return
  end
  local attempts, reason, worker =
    unpack(redis.call('HMGET', segment_key(segment), 'attempts', 'reason', 'worker'))
  local why = reason and 'failed' or 'lost'
  if not reason then record_attempt(segment, 'lost', nil, attempts, worker) end
  if tonumber(attempts or 0) < max_attempts then
    if reason then record_attempt(segment, 'requeued', nil, attempts, worker) end
    enqueue_again(segment, max_attempts, why)
    return
  end
  count_event('segments_given_up', why, redis.call('HGET', job_key(job_of(segment)), 'model'))
  if reason then
    fail_segment(segment, 'synthesis_failed', reason)
  else
    fail_segment(segment, 'worker_lost',
      'the worker died or stalled in each of ' .. max_attempts .. ' attempts')
  end
end
