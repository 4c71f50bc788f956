-- ARGV: job id.
-- After it: the job is not there, if it was still being admitted. Returns its status, if it was admitted.
local status = status_of(job_key(ARGV[1]))
if status ~= 'admitting' then return status end
abandon_admission(ARGV[1])
return false
