-- The fair queue. Owners take turns, and in an owner's turn its jobs do, and a job's segments go in
-- order. A turn costs the frames that it makes: those expected when a segment is claimed, settled when
-- it is committed, and never less than `MIN_FRAMES`. The member with the lowest cost so far is next;
-- the clock is the virtual time of start-time fair queueing: the cost of a member that was here from the
-- beginning, at which a newcomer starts.
local MIN_FRAMES = @MIN_FRAMES@

local function join_turns(key, member)
  redis.call('ZADD', key, 'NX', redis.call('HGET', CLOCK, key) or 0, member)
end

-- Counts segments of a job that begin to wait, or wait no longer: those of its model and, unless it is the
-- normal one, of its priority. A worker of a version before this one counts no priorities: they begin
-- anew once nothing waits for the model.
local function count_waiting(model, priority, by)
  if redis.call('HINCRBY', QUEUES, model, by) == 0 then
    redis.call('HDEL', QUEUES, model)
    redis.call('HDEL', QUEUES_BY_PRIORITY, 'high ' .. model, 'low ' .. model)
  elseif priority and priority ~= 'normal' then
    add_counter(QUEUES_BY_PRIORITY, priority .. ' ' .. model, by)
  end
end

local function leave_turns(key, member)
  redis.call('ZREM', key, member)
  if redis.call('EXISTS', key) == 0 then redis.call('HDEL', CLOCK, key) end
end

-- Adds to what a member has cost, if it still waits here.
local function charge(key, member, cost)
  if cost == 0 or not redis.call('ZADD', key, 'XX', 'INCR', cost, member) then return end
  redis.call('HINCRBYFLOAT', CLOCK, key, cost / redis.call('ZCARD', key))
end

-- Corrects what a claimed segment has cost its job and its owner.
local function settle_turn(segment, frames)
  local id, charged = job_of(segment), number(segment_key(segment), 'charged')
  if charged == 0 then return end
  redis.call('HSET', segment_key(segment), 'charged', frames)
  local model, owner, weight = unpack(redis.call('HMGET', job_key(id), 'model', 'owner', 'weight'))
  charge(turns_key(model), owner, frames - charged)
  charge(owner_turns_key(model, owner), id, (frames - charged) * tonumber(weight or 1))
end

local function head(key) return redis.call('ZRANGE', key, 0, 0)[1] end

-- True on the last attempt, after every other one lost its worker: perhaps this segment kills them,
-- perhaps a neighbour did. It is spoken alone, so that its last attempt is lost by its own fault only.
local function is_suspect(segment, max_attempts)
  return max_attempts > 1 and number(segment_key(segment), 'attempts') >= max_attempts - 1
end

-- Puts a job into its owner's turns, and the owner into the model's, once something of it waits.
local function join_queue(id, model, owner)
  join_turns(owner_turns_key(model, owner), id)
  join_turns(turns_key(model), owner)
  redis.call('ZADD', waiting_since_key(model), 'NX', now(), id)
end

local function leave_queue(id, model, owner)
  if redis.call('EXISTS', waiting_key(id)) == 0 then
    leave_turns(owner_turns_key(model, owner), id)
    redis.call('ZREM', waiting_since_key(model), id)
  end
  if redis.call('EXISTS', owner_turns_key(model, owner)) == 0 then leave_turns(turns_key(model), owner) end
end

-- Index a segment as waiting again, for a reason that the metrics have; `place` is its number in its job.
local function enqueue(segment, place, suspect, reason)
  local id = job_of(segment)
  local model, owner, priority = unpack(redis.call('HMGET', job_key(id), 'model', 'owner', 'priority'))
  redis.call('ZREM', LEASES, segment)
  count_event('segments_requeued', reason, model)
  count_waiting(model, priority, 1)
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
  local model, owner, priority = unpack(redis.call('HMGET', job_key(id), 'model', 'owner', 'priority'))
  redis.call('ZREM', LEASES, segment)
  local found = redis.call('ZREM', waiting_key(id), segment)
    + redis.call('ZREM', suspects_key(model), segment)
  if found == 0 then return end
  count_waiting(model, priority, -1)
  leave_queue(id, model, owner)
end

-- A new segment, in no index yet; `frames` is how many it is expected to take.
local function create_segment(segment, place, text, range, frames)
  redis.call('HSET', segment_key(segment), 'status', 'queued', 'epoch', 0, 'attempts', 0,
    'place', place, 'text', text, 'range', range, 'frames', frames)
end

local function enqueue_again(segment, max_attempts, reason)
  transition(segment_key(segment), 'queued')
  enqueue(segment, number(segment_key(segment), 'place'), is_suspect(segment, max_attempts), reason)
end

local function is_busy(worker)
  for _, segment in ipairs(redis.call('ZRANGE', LEASES, 0, -1)) do
    if holder(segment) == worker then return true end
  end
  return false
end

-- True if a worker that reads jobs up to `version` can speak this one.
local function is_readable(id, version)
  return tonumber(redis.call('HGET', job_key(id), 'version') or 1) <= version
end

-- The oldest suspect that no other worker waits to speak; it is this worker's for `RESERVED_S`.
-- The time is in the value: after a clock that was set back, a key's own end is far away.
local RESERVED_S = 10
local function reserve_suspect(model, worker, version)
  for _, suspect in ipairs(redis.call('ZRANGE', suspects_key(model), 0, 9)) do
    local reserved = reservation_key(suspect)
    local by, at = unpack(redis.call('HMGET', reserved, 'worker', 'at'))
    local age_s = now() - (at or 0)
    local is_free = by == worker or not by or age_s < 0 or age_s > RESERVED_S
    if is_free and is_readable(job_of(suspect), version) then
      redis.call('HSET', reserved, 'worker', worker, 'at', now())
      redis.call('EXPIRE', reserved, RESERVED_S)
      return suspect
    end
  end
end

-- True if a worker keeps itself free for a suspect of another model than `model`.
local function waits_for_other_model(suspect, model, worker)
  return status_of(segment_key(suspect)) == 'queued'
    and is_open(job_of(suspect))
    and redis.call('HGET', reservation_key(suspect), 'worker') == worker
    and redis.call('HGET', job_key(job_of(suspect)), 'model') ~= model
end

-- Take a job's waiting segments, and its turn, out of the queue.
local function clear_queue(id, model, owner)
  local waiting = redis.call('ZCARD', waiting_key(id))
  redis.call('UNLINK', waiting_key(id))
  if waiting > 0 then count_waiting(model, redis.call('HGET', job_key(id), 'priority'), -waiting) end
  leave_queue(id, model, owner)
end

-- The owner and the job whose turn it is, of those that this worker can read. Without newer jobs in
-- the queue it is the first of the first; of newer ones, it looks past 32 jobs of each of 32 owners.
-- A job that has ended, or of which nothing waits, is there if a worker of version 1 has put a segment
-- back: that version asked the segment alone.
local function next_turn(model, version)
  for _, owner in ipairs(redis.call('ZRANGE', turns_key(model), 0, 31)) do
    for _, id in ipairs(redis.call('ZRANGE', owner_turns_key(model, owner), 0, 31)) do
      local status, written = unpack(redis.call('HMGET', job_key(id), 'status', 'version'))
      local legal = LEGAL[status] -- none of a status that a newer version has
      local is_ended = not status or (legal and #legal == 0)
      local readable = legal and tonumber(written or 1) <= version
      if is_ended or (readable and redis.call('EXISTS', waiting_key(id)) == 0) then
        clear_queue(id, model, owner)
      elseif readable then
        return owner, id
      end
    end
  end
end
