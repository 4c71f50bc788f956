-- ARGV: model, worker, lease in seconds.
-- After it: the caller's epoch of the segment that it is given is the only live one, or false:
-- nothing waits that this worker may have.
local model, worker, lease_s = ARGV[1], ARGV[2], ARGV[3]

-- The suspect that this worker speaks, if it still does; a day is longer than anybody speaks.
local alone = 'tts:alone:' .. worker
local function is_alone()
  local key = segment_key(redis.call('GET', alone) or '')
  return status_of(key) ~= 'in_progress' or redis.call('HGET', key, 'worker') ~= worker
end

local suspect = first(suspects_key(model))
if suspect and is_alone() then
  redis.call('SET', alone, suspect, 'EX', 86400)
  return take(suspect, worker, lease_s)
end
local owner = first(owners_key(model))
if not owner then return false end
local id = first(jobs_key(model, owner))
local segment = first(waiting_key(id))
local characters = math.max(1, redis.call('HSTRLEN', segment_key(segment), 'text'))
take_turn(owners_key(model), owner, characters)
take_turn(jobs_key(model, owner), id, characters)
return take(segment, worker, lease_s)
