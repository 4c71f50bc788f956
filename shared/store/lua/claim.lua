-- ARGV: model, worker, lease in seconds, question, newest version of jobs that the worker can read.
-- After it: the caller's epoch of the segment that it is given is the only live one, or false:
-- nothing waits that this worker may have. The same question again has the same answer.
local model, worker, lease_s, question, version = unpack(ARGV)
version = tonumber(version)
local answered = answered_key(question)
local before = redis.call('GET', answered)
if before then return holder(before) == worker and claim_payload(before) end

local function lease_and_remember(segment)
  redis.call('SET', answered, segment, 'EX', 20)
  return lease(segment, worker, lease_s)
end

-- A suspect is spoken by a worker that speaks nothing else. A day is longer than anybody speaks.
local alone = alone_key(worker)
if holder(redis.call('GET', alone) or '') == worker then return false end
local suspect = reserve_suspect(model, worker, version)
if suspect then
  if is_busy(worker) then return false end
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
return lease_and_remember(segment)
