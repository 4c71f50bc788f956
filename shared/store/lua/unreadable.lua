-- ARGV: segment id, epoch, most attempts, seconds to wait for a worker that can read the job.
-- After it: the segment waits again and the attempt does not count, but its turn does: others go first.
-- It fails once no worker could read it for those seconds. Or 0: the epoch is stale.
local segment, epoch, max_attempts, within_s = unpack(ARGV)
if not holds_lease(segment, epoch) then return 0 end
local job = job_key(job_of(segment))
if redis.call('HSETNX', job, 'unreadable_since', now()) == 1 then record_attempt(segment, 'unreadable') end
if now() - number(job, 'unreadable_since') > tonumber(within_s) then
  fail_segment(segment, 'unreadable_job', 'no worker of a version that can read this job has come')
  return 1
end
redis.call('HINCRBY', segment_key(segment), 'attempts', -1)
enqueue_again(segment, tonumber(max_attempts), 'unreadable')
return 1
