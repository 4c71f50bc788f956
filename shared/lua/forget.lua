-- ARGV: job id.
-- After it: nothing of an ended job is left but its id, for its files to be deleted, or 0: it has not
-- ended, and nothing has changed.
local id = ARGV[1]
local job = job_key(id)
if redis.call('EXISTS', job) == 1 and #LEGAL[status_of(job)] > 0 then return 0 end
local total = number(job, 'total')
local same, owner = unpack(redis.call('HMGET', job, 'idempotency', 'owner'))
for place = 0, total - 1 do redis.call('DEL', segment_key(id .. ':' .. place)) end
redis.call('DEL', job, segment_key(id .. ':join'), listeners_key(id), same or job)
redis.call('ZADD', 'tts:forgotten', now(), id)
redis.call('ZREM', JOBS, id)
if owner then redis.call('ZREM', owned_key(owner), id) end
redis.call('ZREM', ENDED, id)
redis.call('ZREM', LEFTOVERS, id)
return 1
