-- ARGV: segment id, lease in seconds, most attempts.
-- After it: the caller's epoch is the only live one, or false: the segment is done, unknown, or held.
local segment, lease_s, max_attempts = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local key, job = segment_key(segment), job_key(job_of(segment))
if not status_of(key) then return false end
local held_until = redis.call('ZSCORE', LEASES, segment)
if held_until then
  if tonumber(held_until) > now() then return false end
  if not take_back(segment, max_attempts) then return false end
end
if #LEGAL[status_of(job)] == 0 then
  -- The job has ended without this segment: another one failed, or it was cancelled.
  if move(key, 'cancelled') then dequeue(segment) end
  return false
end
if not move(key, 'in_progress') then return false end
dequeue(segment)
redis.call('ZADD', LEASES, now() + lease_s, segment)
if move(job, 'in_progress') then redis.call('HSET', job, 'started_at', now()) end
return {
  redis.call('HINCRBY', key, 'epoch', 1),
  redis.call('HINCRBY', key, 'attempts', 1),
  redis.call('HGET', key, 'text'),
  redis.call('HGET', job, 'spec'),
}
