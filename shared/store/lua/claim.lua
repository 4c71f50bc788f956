-- ARGV: model, worker, lease in seconds, question, newest version of jobs that the worker can read.
-- After it: the worker holds the segment that is returned, under a new epoch. False: nothing waits that
-- this worker may have, the model is paused, or the worker is drained. A question that is repeated gets the segment of its first answer.
local model, worker, lease_s, question, version = unpack(ARGV)
version = tonumber(version)
local answered = answered_key(question)
local before = redis.call('GET', answered)
if before then return holder(before) == worker and claim_payload(before) end
if redis.call('HEXISTS', PAUSED, model) == 1 or redis.call('EXISTS', draining_key(worker)) == 1 then
  return false
end

local function lease_and_remember(segment)
  redis.call('SET', answered, segment, 'EX', 20)
  return lease(segment, worker, lease_s)
end

-- A suspect is spoken by a worker that speaks nothing else, whatever its model. No segment takes a day.
local alone = alone_key(worker)
local last = redis.call('GET', alone) or ''
if holder(last) == worker or waits_for_other_model(last, model, worker) then return false end
local suspect = reserve_suspect(model, worker, version)
if suspect then
  if is_busy(worker) then
    -- Nothing of its other models is begun either, or it might be busy forever.
    redis.call('SET', alone, suspect, 'EX', RESERVED_S)
    return false
  end
  redis.call('SET', alone, suspect, 'EX', 86400)
  return lease_and_remember(suspect)
end
local owner, id = next_turn(model, version)
if not owner then return false end
local segment = head(waiting_key(id))
local key = segment_key(segment)
local frames = redis.call('HGET', key, 'frames') or redis.call('HSTRLEN', key, 'text')
frames = math.max(MIN_FRAMES, tonumber(frames))
charge(turns_key(model), owner, frames)
charge(owner_turns_key(model, owner), id, frames * tonumber(redis.call('HGET', job_key(id), 'weight') or 1))
redis.call('HSET', key, 'charged', frames)
redis.call('ZADD', waiting_since_key(model), now(), id)
return lease_and_remember(segment)
