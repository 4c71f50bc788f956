-- ARGV: job id.
-- After it: the job is cancelled, if it has not ended and its deadline has passed.
local at = number(job_key(ARGV[1]), 'cancel_at')
if at > 0 and at <= now() then end_overdue(ARGV[1]) end
