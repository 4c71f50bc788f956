-- ARGV: job id, priority, its weight.
-- After it: a job that has not ended has this priority, and stands no further back among its owner's jobs
-- than a new one would. Returns its status; false: there is no such job.
local id, priority, weight = unpack(ARGV)
local status, model, owner, before =
  unpack(redis.call('HMGET', job_key(id), 'status', 'model', 'owner', 'priority'))
if not status or status == 'admitting' then return false end
if is_open(id) then
  local turns, waiting = owner_turns_key(model, owner), redis.call('ZCARD', waiting_key(id))
  for _, suspect in ipairs(redis.call('ZRANGE', suspects_key(model), 0, -1)) do
    if job_of(suspect) == id then waiting = waiting + 1 end
  end
  if waiting > 0 then
    count_waiting(model, before, -waiting)
    count_waiting(model, priority, waiting)
  end
  redis.call('HSET', job_key(id), 'priority', priority, 'weight', weight)
  if before ~= priority then record_history(id, 'prioritised', { c = priority }) end
  redis.call('ZADD', turns, 'XX', 'LT', redis.call('HGET', CLOCK, turns) or 0, id)
end
return status
