-- ARGV: model, worker, lease in seconds, question.
-- After it: the caller's epoch of the segment that it is given is the only live one, or false:
-- nothing waits that this worker may have. The same question again has the same answer.
local model, worker, lease_s, question = unpack(ARGV)
local answered = 'tts:answered:' .. question
local before = redis.call('GET', answered)
if before then return holder(before) == worker and told(before) end

local function give(segment)
  redis.call('SET', answered, segment, 'EX', 20)
  return take(segment, worker, lease_s)
end

-- A suspect is spoken by a worker that speaks nothing else. A day is longer than anybody speaks.
local alone = 'tts:alone:' .. worker
if holder(redis.call('GET', alone) or '') == worker then return false end
local suspect = reserve_suspect(model, worker)
if suspect then
  if is_busy(worker) then return false end
  redis.call('SET', alone, suspect, 'EX', 86400)
  return give(suspect)
end
local owner = first(owners_key(model))
if not owner then return false end
local id = first(jobs_key(model, owner))
local segment = first(waiting_key(id))
local text = redis.call('HGET', segment_key(segment), 'text')
local characters = math.max(1, #text:gsub('[\128-\191]', '')) -- without what continues one in UTF-8
take_turn(owners_key(model), owner, characters)
local weight = tonumber(redis.call('HGET', job_key(id), 'weight') or 1)
take_turn(jobs_key(model, owner), id, characters * weight)
return give(segment)
