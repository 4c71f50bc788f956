-- ARGV: job id, whether its idempotency key is free again and nobody is told of it ('yes').
-- After it: the job has ended, as cancelled if it had not ended before, and no claim on it holds.
-- Returns whether it was this call that ended it; false: there is no such job.
local id, frees_key = ARGV[1], ARGV[2] == 'yes'
local job = job_key(id)
if not status_of(job) then return false end
if #LEGAL[status_of(job)] == 0 then return 0 end
if frees_key then
  local owner, chars, at = unpack(redis.call('HMGET', job, 'owner', 'chars', 'created_at'))
  use(owner, 'chars', -chars, at)
  redis.call('DEL', redis.call('HGET', job, 'idempotency') or job .. ':none')
  redis.call('HDEL', job, 'idempotency', 'webhook')
end
return end_job(id, 'cancelled') and 1 or 0
