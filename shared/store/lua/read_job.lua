-- ARGV: job id, how long a worker's presence lasts at the most.
-- Changes nothing. Returns the job's fields as JSON, which is faster to read than a list, with the time.
-- One that has not ended also has the number of live workers of its model.
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
end
local turn = redis.call('ZRANK', owner_turns_key(model, owner), id)
if not turn or tonumber(job.completed or 0) > 0 then return cjson.encode(job) end
-- Owners take turns: when this job's turn comes, owners behind its own have had `turn` turns, and owners
-- ahead one more, or all that they have jobs for. Of more than `COUNTED` owners, that many are counted,
-- and the others are taken for their average.
local COUNTED = 50
local rank, owners = redis.call('ZRANK', turns_key(model), owner), redis.call('ZCARD', turns_key(model))
local mine = redis.call('ZCARD', owner_turns_key(model, owner))
local function jobs_before(from, to, turns)
  local counted, before, jobs = 0, 0, 0
  for _, other in ipairs(redis.call('ZRANGE', turns_key(model), from, math.min(to, from + COUNTED - 1))) do
    local waiting = redis.call('ZCARD', owner_turns_key(model, other))
    counted, before, jobs = counted + 1, before + math.min(waiting, turns), jobs + waiting
  end
  if counted == 0 then return 0, 0 end
  local all = to - from + 1
  return math.floor(before * all / counted), math.floor(jobs * all / counted)
end
local ahead, jobs_ahead = 0, 0
if rank > 0 then ahead, jobs_ahead = jobs_before(0, rank - 1, turn + 1) end
local behind, jobs_behind = 0, 0
if rank < owners - 1 then behind, jobs_behind = jobs_before(rank + 1, owners - 1, turn) end
job.queue_position = ahead + turn + behind + 1
local rate = pace()
if rate > 0 then
  local open = number(QUEUES, model) + redis.call('ZCARD', LEASES)
  job.queue_eta_s = math.min(open, tonumber(job.total) * (jobs_ahead + mine + jobs_behind)) / rate
end
return cjson.encode(job)
