-- ARGV: job id, model, spec (JSON), text of each segment.
-- After it: the job and all its segments are queued and indexed, or nothing has changed.
local id, model, spec = ARGV[1], ARGV[2], ARGV[3]
if redis.call('EXISTS', job_key(id)) == 1 then return 0 end
redis.call('HSET', job_key(id), 'id', id, 'status', 'queued', 'model', model, 'spec', spec,
  'created_at', now(), 'total', #ARGV - 3)
for i = 4, #ARGV do create_segment(id .. ':' .. (i - 4), ARGV[i]) end
redis.call('ZADD', JOBS, now(), id)
return 1
