-- ARGV: seconds after which a waiting segment is announced again, most attempts, most segments.
-- After it: no lease is overdue; returns the segments to announce, each followed by its model.
-- A segment whose queue still holds messages is left alone: it is waiting, not lost.
-- All workers call this; one a second and a half is enough.
if not redis.call('SET', 'tts:reconciled', '1', 'NX', 'PX', 1500) then return {} end
local quiet_s, attempts, limit = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local announce = {}

local function add(segment)
  redis.call('ZADD', QUEUED, now(), segment)
  announce[#announce + 1] = segment
  announce[#announce + 1] = redis.call('HGET', job_key(job_of(segment)), 'model')
end

for _, segment in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', now(), 'LIMIT', 0, limit)) do
  local key = segment_key(segment)
  if tonumber(redis.call('HGET', key, 'attempts')) >= attempts then
    fail_segment(segment, 'worker_lost',
      'the worker died or stalled in each of ' .. attempts .. ' attempts')
  else
    move(key, 'queued')
    enqueue(segment)
    add(segment)
  end
end
for _, segment in ipairs(
  redis.call('ZRANGEBYSCORE', QUEUED, '-inf', now() - quiet_s, 'LIMIT', 0, limit)) do
  local model = redis.call('HGET', job_key(job_of(segment)), 'model')
  if redis.call('LLEN', 'tts.' .. model) == 0 then add(segment) end
end
return announce
