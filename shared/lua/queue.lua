-- Changes nothing. Returns how many segments are spoken, how many jobs they are of, and how many are
-- open in all; segments and samples a second; then each model and how many segments wait for it.
local spoken, jobs = redis.call('ZRANGE', LEASES, 0, -1), {}
local count_of, open = 0, 0
for _, segment in ipairs(spoken) do
  if not jobs[job_of(segment)] then count_of = count_of + 1 end
  jobs[job_of(segment)] = true
end
for _, owned in ipairs(redis.call('HVALS', OPEN_JOBS)) do open = open + owned end
return { #spoken, count_of, open, tostring(pace()), tostring(pace(':samples')),
  redis.call('HGETALL', QUEUES) }
