-- ARGV: job id.
-- After it: the job has ended, as cancelled if it had not ended before, and no claim on it holds.
-- Returns whether it was this call that ended it; false: there is no such job.
local id = ARGV[1]
if not status_of(job_key(id)) then return false end
return end_job(id, 'cancelled') and 1 or 0
