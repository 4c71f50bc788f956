-- ARGV: seconds a segment has waited before it is announced again, most attempts, most segments.
-- After it: no lease is overdue; returns the segments to announce, each followed by its model.
-- All workers call this; one a second and a half is enough.
if not redis.call('SET', 'tts:reconciled', '1', 'NX', 'PX', 1500) then return {} end
local quiet_s, max_attempts, limit = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local announce = {}

local function add(segment, model)
  redis.call('ZADD', queued_key(model), now(), segment)
  announce[#announce + 1] = segment
  announce[#announce + 1] = model
end

for _, segment in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', now(), 'LIMIT', 0, limit)) do
  if not status_of(segment_key(segment)) then
    redis.call('ZREM', LEASES, segment) -- its job was deleted
  elseif take_back(segment, max_attempts) then
    add(segment, model_of(segment))
  end
end

-- Fewer messages than waiting segments: some were lost. Which ones is not known, so the oldest are
-- announced again; a message too many costs a look, and the lost one grows old.
for _, model in ipairs(redis.call('SMEMBERS', QUEUES)) do
  local missing = redis.call('ZCARD', queued_key(model)) - redis.call('LLEN', 'tts.' .. model)
  if missing > 0 then
    for _, segment in ipairs(redis.call('ZRANGEBYSCORE', queued_key(model), '-inf',
      now() - quiet_s, 'LIMIT', 0, math.min(missing, limit))) do
      if status_of(segment_key(segment)) then
        add(segment, model)
      else
        redis.call('ZREM', queued_key(model), segment)
      end
    end
  end
end
return announce
