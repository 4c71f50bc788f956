-- ARGV: job id.
-- Changes nothing. Returns the time, the job's fields and, of one that waits for its first segment,
-- its place among those that wait, and in how many seconds it ends if all goes on at this pace.
local id = ARGV[1]
local fields = redis.call('HGETALL', job_key(id))
local model, owner = unpack(redis.call('HMGET', job_key(id), 'model', 'owner'))
local turn = model and redis.call('ZRANK', jobs_key(model, owner), id)
if not turn or number(job_key(id), 'completed') > 0 then return { tostring(now()), fields } end
-- Owners take turns: before its own turn, each has had as many as its owner, or one more.
local mine, before, jobs = redis.call('ZRANK', owners_key(model), owner), 0, 0
for place, other in ipairs(redis.call('ZRANGE', owners_key(model), 0, -1)) do
  local count = redis.call('ZCARD', jobs_key(model, other))
  before = before + math.min(count, place <= mine and turn + 1 or turn)
  jobs = jobs + count
end
local rate, total = pace(), number(job_key(id), 'total')
if rate == 0 then return { tostring(now()), fields, before + 1 } end
local open = number(QUEUES, model) + redis.call('ZCARD', LEASES)
return { tostring(now()), fields, before + 1, tostring(math.min(open, total * jobs) / rate) }
