-- ARGV: job id.
-- After it: an ended job is not there any more, its files are to be deleted, and up to `MAX_DELETED` of
-- its segments are deleted. Returns how many of them are left for further calls; or -1: the job has not
-- ended, and nothing has changed.
local id = ARGV[1]
local job = job_key(id)
local legal = LEGAL[status_of(job) or 'cancelled']
if not legal or #legal > 0 then return -1 end
if redis.call('EXISTS', job) == 1 then forget_job(id) end
return delete_segments(id)
