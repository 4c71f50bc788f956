-- Put in front of every script. LEGAL is TRANSITIONS of shared/jobs.py, so that there is one table.
local LEGAL = cjson.decode('@TRANSITIONS@')
local LEASES, JOBS, QUEUES = 'tts:leases', 'tts:jobs', 'tts:queues'

local function now()
  local time = redis.call('TIME')
  return time[1] + time[2] / 1e6
end

local function job_key(id) return 'tts:job:' .. id end
local function segment_key(id) return 'tts:segment:' .. id end
local function job_of(segment) return (segment:gsub(':[^:]*$', '')) end
local function is_join(segment) return segment:sub(-5) == ':join' end
local function status_of(key) return redis.call('HGET', key, 'status') end

-- The only place where a status changes; false when the change is not legal from here.
local function move(key, to)
  for _, legal in ipairs(LEGAL[status_of(key)] or {}) do
    if legal == to then
      redis.call('HSET', key, 'status', to)
      return true
    end
  end
  return false
end

local function model_of(segment) return redis.call('HGET', job_key(job_of(segment)), 'model') end
local function queued_key(model) return 'tts:queued:' .. model end

-- Index a segment as waiting for its model; the score is when it was last announced.
local function enqueue(segment)
  local model = model_of(segment)
  redis.call('ZREM', LEASES, segment)
  redis.call('SADD', QUEUES, model)
  redis.call('ZADD', queued_key(model), now(), segment)
end

local function dequeue(segment)
  redis.call('ZREM', LEASES, segment)
  redis.call('ZREM', queued_key(model_of(segment)), segment)
end

local function create_segment(segment, text)
  redis.call('HSET', segment_key(segment), 'status', 'queued', 'epoch', 0, 'attempts', 0, 'text', text)
  enqueue(segment)
end

-- The fence: whether `epoch` still holds the segment.
local function holds(segment, epoch)
  local key = segment_key(segment)
  return status_of(key) == 'in_progress' and redis.call('HGET', key, 'epoch') == epoch
end

local function end_job(id, status)
  if not move(job_key(id), status) then return false end
  redis.call('HSET', job_key(id), 'completed_at', now())
  return true
end

local function fail_segment(segment, code, message)
  move(segment_key(segment), 'failed')
  dequeue(segment)
  local job = job_of(segment)
  redis.call('HINCRBY', job_key(job), 'failed', 1)
  if end_job(job, 'failed') then
    redis.call('HSET', job_key(job), 'error_code', code, 'error_message', message)
  end
end

-- A lease ran out: the segment waits again, or fails after its last attempt. Whether it waits.
local function take_back(segment, max_attempts)
  local key = segment_key(segment)
  if tonumber(redis.call('HGET', key, 'attempts')) >= max_attempts then
    fail_segment(segment, 'worker_lost',
      'the worker died or stalled in each of ' .. max_attempts .. ' attempts')
    return false
  end
  move(key, 'queued')
  enqueue(segment)
  return true
end
