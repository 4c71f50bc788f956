-- ARGV: segment id, epoch, object key, samples, truncated (0 or 1), batch size, bytes.
-- After it: one result is committed and the job counts it once, or false: the epoch is stale.
-- Returns the id of the job's join when this was its last segment, else ''.
local segment, epoch, object, samples, truncated, batch, bytes = unpack(ARGV)
if not holds(segment, epoch) then return false end
local key, id = segment_key(segment), job_of(segment)
local job = job_key(id)
move(key, 'completed')
redis.call('ZREM', LEASES, segment)
redis.call('HSET', key, 'key', object, 'samples', samples)
if is_join(segment) then
  redis.call('HSET', job, 'result_key', object, 'result_bytes', bytes, 'samples', samples)
  end_job(id, 'completed')
  return ''
end
redis.call('HINCRBY', job, 'truncated', truncated)
redis.call('HINCRBY', job, 'samples', samples)
redis.call('HINCRBY', job, 'batch:' .. batch, 1)
local completed = redis.call('HINCRBY', job, 'completed', 1)
if completed < tonumber(redis.call('HGET', job, 'total')) then return '' end
create_segment(id .. ':join', '')
return id .. ':join'
