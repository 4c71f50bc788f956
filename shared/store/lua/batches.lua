-- A batch counts how its jobs end, and goes some time after the last of them.

local function expire_batch(id, seconds)
  redis.call('EXPIRE', batch_key(id), seconds)
  redis.call('EXPIRE', batch_lines_key(id), seconds)
end

local function count_in_batch(job, status)
  local id = redis.call('HGET', job, 'batch')
  if not id or redis.call('EXISTS', batch_key(id)) == 0 then return end
  local batch = batch_key(id)
  redis.call('HINCRBY', batch, status, 1)
  if redis.call('HINCRBY', batch, 'open', -1) > 0 then return end
  redis.call('HSET', batch, 'completed_at', now())
  expire_batch(id, redis.call('HGET', batch, 'ttl_s'))
end

-- A failed job of a batch is open again, and so is the batch, if it is still there.
local function reopen_in_batch(job)
  local id = redis.call('HGET', job, 'batch')
  if not id or redis.call('EXISTS', batch_key(id)) == 0 then return end
  local batch = batch_key(id)
  redis.call('HINCRBY', batch, 'failed', -1)
  redis.call('HINCRBY', batch, 'open', 1)
  redis.call('HDEL', batch, 'completed_at')
  if redis.call('HEXISTS', batch, 'admitted_at') == 0 then return end
  redis.call('PERSIST', batch)
  redis.call('PERSIST', batch_lines_key(id))
end
