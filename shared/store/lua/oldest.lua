-- ARGV: models.
-- After it: nothing has changed, but that up to 100 jobs of a model are left out of which nothing waits any
-- more: a worker of a version before this one took their last segments. Returns, for each model, how many
-- seconds the job that had its last turn first has waited for the next one, or '' if none waits. A job that a
-- version before this one queued counts from the first call on.
local ages = {}
for i, model in ipairs(ARGV) do
  local jobs, since = waiting_since_key(model), math.huge
  for _ = 1, 100 do
    local id, at = unpack(redis.call('ZRANGE', jobs, 0, 0, 'WITHSCORES'))
    if not id or redis.call('EXISTS', waiting_key(id)) == 1 then
      since = tonumber(at or since)
      break
    end
    redis.call('ZREM', jobs, id)
  end
  local owner = redis.call('ZRANGE', turns_key(model), 0, 0)[1]
  local first = owner and redis.call('ZRANGE', owner_turns_key(model, owner), 0, 0)[1]
  if first and since == math.huge then
    since = now()
    redis.call('ZADD', jobs, since, first)
  end
  local suspect = redis.call('ZRANGE', suspects_key(model), 0, 0, 'WITHSCORES')[2]
  since = math.min(since, tonumber(suspect or since))
  ages[i] = since < math.huge and tostring(math.max(0, now() - since)) or ''
end
return ages
