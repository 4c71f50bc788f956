-- Changes nothing. Returns how many segments are spoken, how many jobs they are of, and how many are
-- open in all; segments and samples a second; then each model and how many segments wait for it.
local spoken, jobs = redis.call('ZRANGE', LEASES, 0, -1), {}
local jobs_spoken = 0
for _, segment in ipairs(spoken) do
  if not jobs[job_of(segment)] then jobs_spoken = jobs_spoken + 1 end
  jobs[job_of(segment)] = true
end
local open = redis.call('ZCARD', JOBS) - redis.call('ZCARD', ENDED)
return { #spoken, jobs_spoken, open, tostring(pace()), tostring(pace(':samples')),
  redis.call('HGETALL', QUEUES) }
