-- ARGV: job id.
-- Changes nothing. Returns the job's fields as JSON, which the client reads sooner than a list, with the
-- time and, of one that waits for its first segment, its place among those that wait, and in how many
-- seconds it ends if all goes on at this pace.
local id = ARGV[1]
local flat, job = redis.call('HGETALL', job_key(id)), { seen_at = tostring(now()) }
if #flat == 0 then return end
for place = 1, #flat, 2 do job[flat[place]] = flat[place + 1] end
local model, owner = job.model, job.owner
local turn = redis.call('ZRANK', jobs_key(model, owner), id)
if not turn or tonumber(job.completed or 0) > 0 then return cjson.encode(job) end
-- Owners take turns: before its own turn, each has had as many as its owner, or one more.
local mine, before, jobs = redis.call('ZRANK', owners_key(model), owner), 0, 0
for place, other in ipairs(redis.call('ZRANGE', owners_key(model), 0, -1)) do
  local count = redis.call('ZCARD', jobs_key(model, other))
  before = before + math.min(count, place <= mine and turn + 1 or turn)
  jobs = jobs + count
end
job.queue_position = before + 1
local rate = pace()
if rate > 0 then
  local open = number(QUEUES, model) + redis.call('ZCARD', LEASES)
  job.queue_eta_s = math.min(open, tonumber(job.total) * jobs) / rate
end
return cjson.encode(job)
