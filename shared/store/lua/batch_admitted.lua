-- ARGV: batch id.
-- After it: the batch, whose lines are all there, stays until its last job has ended and for some time
-- after; or 0: it is gone, and nothing has changed.
local id = ARGV[1]
local batch = batch_key(id)
if redis.call('EXISTS', batch) == 0 then return 0 end
if redis.call('HSETNX', batch, 'admitted_at', now()) == 0 then return 1 end
if number(batch, 'open') > 0 then
  redis.call('PERSIST', batch)
  redis.call('PERSIST', batch_lines_key(id))
else
  expire_batch(id, redis.call('HGET', batch, 'ttl_s'))
end
return 1
