-- ARGV: job id, how long a worker's presence lasts at the most.
-- Changes nothing. Returns the job's fields as JSON, which is faster to read than a list, with the time.
-- One that has not ended also has the number of live workers of its model, and if that is paused.
-- A job that waits for its first segment also has its place in the queue, and the seconds to its end at
-- the present pace.
local id = ARGV[1]
local flat, job = redis.call('HGETALL', job_key(id)), { seen_at = tostring(now()) }
if #flat == 0 then return end
for place = 1, #flat, 2 do job[flat[place]] = flat[place + 1] end
if job.status == 'admitting' then return end
local model, owner = job.model, job.owner
if is_open(id) then
  job.live_workers = redis.call('ZCOUNT', workers_key(model), now(), now() + tonumber(ARGV[2]))
  job.paused = redis.call('HEXISTS', PAUSED, model) == 1
end
local turn = redis.call('ZRANK', owner_turns_key(model, owner), id)
if not turn or tonumber(job.completed or 0) > 0 then return cjson.encode(job) end
local rank = redis.call('ZRANK', turns_key(model), owner)
local before, others = jobs_before(model, rank, rank + 1, turn)
job.queue_position = before + 1
local rate = pace()
if rate > 0 then
  local open = number(QUEUES, model) + redis.call('ZCARD', LEASES)
  local mine = redis.call('ZCARD', owner_turns_key(model, owner))
  job.queue_eta_s = math.min(open, tonumber(job.total) * (others + mine)) / rate
end
return cjson.encode(job)
