-- ARGV: job id; 'key' if its idempotency key becomes free and no webhook is sent, 'all' if its characters
-- do not count for the day either, 'unbegun' if a job of which anything was begun goes on, else ''.
-- After it: the job has ended, as cancelled if it had not ended before, and no claim on it holds; unless it
-- goes on.
-- Returns 1 if this call ended it, else 0; false: there is no such job.
local id, what = ARGV[1], ARGV[2]
local job = job_key(id)
local before = status_of(job)
if not before or before == 'admitting' then return false end
if not is_open(id) then return 0 end
-- A job that was retried is queued, and has segments that are done.
if what == 'unbegun' and (before ~= 'queued' or number(job, 'completed') > 0) then return 0 end
if what == 'all' then
  local owner, chars, at = unpack(redis.call('HMGET', job, 'owner', 'chars', 'created_at'))
  settle_use(owner, 'chars', -chars, at)
end
if what == 'key' or what == 'all' then
  redis.call('DEL', redis.call('HGET', job, 'idempotency') or job .. ':none')
  redis.call('HDEL', job, 'idempotency', 'webhook')
end
return end_job(id, 'cancelled') and 1 or 0
