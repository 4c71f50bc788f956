-- Who is next. Owners take turns, and in an owner's turn its jobs do, and a job's segments go in
-- order. A turn costs as many characters as it speaks, and who has been given fewest is next; the
-- clock is what everybody has been given who was here all the time, and where newcomers begin.
local CLOCK = 'tts:clock'
local function owners_key(model) return 'tts:turns:' .. model end
local function jobs_key(model, owner) return 'tts:turns:' .. model .. ':' .. owner end

local function join_turns(key, member)
  redis.call('ZADD', key, 'NX', redis.call('HGET', CLOCK, key) or 0, member)
end

local function leave_turns(key, member)
  redis.call('ZREM', key, member)
  if redis.call('EXISTS', key) == 0 then redis.call('HDEL', CLOCK, key) end
end

local function take_turn(key, member, characters)
  redis.call('HINCRBYFLOAT', CLOCK, key, characters / redis.call('ZCARD', key))
  redis.call('ZINCRBY', key, characters, member)
end

local function first(key) return redis.call('ZRANGE', key, 0, 0)[1] end

-- On its last attempt, after every other one lost its worker: perhaps it is what kills them, perhaps
-- a neighbour did. It is spoken alone, so that its last attempt is lost by its own fault only.
local function is_suspect(segment, max_attempts)
  return max_attempts > 1 and number(segment_key(segment), 'attempts') >= max_attempts - 1
end

-- Something of a job waits: it is in its owner's turns, and the owner in the model's.
local function join_queue(id, model, owner)
  join_turns(jobs_key(model, owner), id)
  join_turns(owners_key(model), owner)
end

local function leave_queue(id, model, owner)
  if redis.call('EXISTS', waiting_key(id)) == 0 then leave_turns(jobs_key(model, owner), id) end
  if redis.call('EXISTS', jobs_key(model, owner)) == 0 then leave_turns(owners_key(model), owner) end
end

-- Index a segment as waiting; `place` is its number in its job.
local function enqueue(segment, place, suspect)
  local id = job_of(segment)
  local model, owner = unpack(redis.call('HMGET', job_key(id), 'model', 'owner'))
  redis.call('ZREM', LEASES, segment)
  count(QUEUES, model, 1)
  if suspect then
    redis.call('ZADD', suspects_key(model), now(), segment)
    return
  end
  redis.call('ZADD', waiting_key(id), place, segment)
  join_queue(id, model, owner)
end

-- Take a segment out of every index.
local function dequeue(segment)
  local id = job_of(segment)
  local model, owner = unpack(redis.call('HMGET', job_key(id), 'model', 'owner'))
  redis.call('ZREM', LEASES, segment)
  local found = redis.call('ZREM', waiting_key(id), segment)
    + redis.call('ZREM', suspects_key(model), segment)
  if found == 0 then return end
  count(QUEUES, model, -1)
  leave_queue(id, model, owner)
end

-- A new segment, in no index yet.
local function create_segment(segment, place, text, range)
  redis.call('HSET', segment_key(segment), 'status', 'queued', 'epoch', 0, 'attempts', 0,
    'place', place, 'text', text, 'range', range)
end

local function enqueue_again(segment, max_attempts)
  move(segment_key(segment), 'queued')
  enqueue(segment, number(segment_key(segment), 'place'), is_suspect(segment, max_attempts))
end

-- Who speaks a segment now, if anybody does.
local function holder(segment)
  local key = segment_key(segment)
  return status_of(key) == 'in_progress' and redis.call('HGET', key, 'worker')
end

local function is_busy(worker)
  for _, segment in ipairs(redis.call('ZRANGE', LEASES, 0, -1)) do
    if holder(segment) == worker then return true end
  end
  return false
end

-- The oldest suspect that no other worker waits to speak; it is this worker's for some seconds.
local function reserve_suspect(model, worker)
  for _, suspect in ipairs(redis.call('ZRANGE', suspects_key(model), 0, 9)) do
    local reserved = 'tts:reserved:' .. suspect
    redis.call('SET', reserved, worker, 'NX', 'EX', 10)
    if redis.call('GET', reserved) == worker then
      redis.call('EXPIRE', reserved, 10)
      return suspect
    end
  end
end

-- What a worker has to know of a segment that it holds.
local function told(segment)
  local key = segment_key(segment)
  local epoch, attempts, text = unpack(redis.call('HMGET', key, 'epoch', 'attempts', 'text'))
  return { segment, epoch, attempts, text, redis.call('HGET', job_key(job_of(segment)), 'spec') }
end

-- The next epoch of a segment: the time in milliseconds, and later than its last one. A counter would
-- give the same number out twice when Redis comes back without its last second, or a replica takes over.
local function next_epoch(key)
  local epoch = math.max(number(key, 'epoch') + 1, math.floor(now() * 1000))
  redis.call('HSET', key, 'epoch', string.format('%d', epoch))
end

-- Lease a waiting segment to a worker; returns what the worker has to know.
local function take(segment, worker, lease_s)
  local key, job = segment_key(segment), job_key(job_of(segment))
  dequeue(segment)
  move(key, 'in_progress')
  redis.call('HSET', key, 'worker', worker)
  redis.call('HDEL', key, 'reason')
  redis.call('HINCRBY', key, 'attempts', 1)
  next_epoch(key)
  redis.call('ZADD', LEASES, now() + lease_s, segment)
  if move(job, 'in_progress') then
    redis.call('HSET', job, 'started_at', now())
    notify(job_of(segment), 'in_progress')
  end
  return told(segment)
end
