-- ARGV: the job (JSON, see `Ledger.admit`), then of each segment its text and its range in the input.
-- After it: the job and all its segments are queued and counted, or nothing has changed.
-- Returns what became of it and, in this order: the id of the job that is there now, or how many
-- seconds until there is room.
local job, segments = cjson.decode(ARGV[1]), (#ARGV - 1) / 2
local id, owner, limits = job.id, job.owner, job.limits
local same = job.idempotency and 'tts:idempotency:' .. owner .. ':' .. job.idempotency
if same and redis.call('EXISTS', same) == 1 then
  local known, fingerprint = unpack(redis.call('HMGET', same, 'job', 'fingerprint'))
  return { fingerprint == job.fingerprint and 'known' or 'reused', known }
end
-- Ids are of one use: it is this very step, sent again by a client whose connection broke.
if redis.call('EXISTS', job_key(id)) == 1 then return { 'known', id } end

local function wait_for(excess)
  return math.ceil(math.min(120, math.max(1, excess / math.max(pace(), 1 / 120))))
end
local open = redis.call('ZCARD', LEASES)
for _, waiting in ipairs(redis.call('HVALS', QUEUES)) do open = open + waiting end
if open + segments > limits.open_segments then
  return { 'queue_full', wait_for(open + segments - limits.open_segments) }
end
-- What is over, as a part of what the owner has, is that part of all segments that are open.
local function refuse(which, held, more, limit)
  return { which, wait_for(open * (held + more - limit) / math.max(held, 1)) }
end
local jobs, chars = number(OPEN_JOBS, owner), number(OPEN_CHARS, owner)
if jobs + 1 > limits.owner_jobs then return refuse('too_many_jobs', jobs, 1, limits.owner_jobs) end
if chars + job.chars > limits.owner_chars then
  return refuse('too_many_chars', chars, job.chars, limits.owner_chars)
end
local used = redis.call('HMGET', used_key(owner), 'chars', 'samples')
if tonumber(used[1] or 0) + job.chars > limits.day_chars then return { 'day_chars', 0 } end
if tonumber(used[2] or 0) >= limits.day_samples then return { 'day_audio_s', 0 } end

local record = { id = id, status = 'queued', owner = owner, model = job.model, spec = job.spec,
  outline = job.outline, chars = job.chars, created_at = now(), total = segments, priority = job.priority,
  weight = job.weight, batch = job.batch, name = job.name, webhook = job.webhook }
if same then
  redis.call('HSET', same, 'job', id, 'fingerprint', job.fingerprint)
  record.idempotency = same
end
if job.cancel_after_s then
  record.cancel_at = now() + job.cancel_after_s
  redis.call('ZADD', DEADLINES, record.cancel_at, id)
end
local fields = {}
for field, value in pairs(record) do
  fields[#fields + 1], fields[#fields + 2] = field, value
end
redis.call('HSET', job_key(id), unpack(fields))
redis.call('ZADD', JOBS, now(), id)
redis.call('ZADD', owned_key(owner), now(), id)
use(owner, 'chars', job.chars)
count(OPEN_JOBS, owner, 1)
count(OPEN_CHARS, owner, job.chars)
for place = 0, segments - 1 do
  create_segment(id .. ':' .. place, place, ARGV[2 * place + 2], ARGV[2 * place + 3])
  redis.call('ZADD', waiting_key(id), place, id .. ':' .. place)
end
count(QUEUES, job.model, segments)
join_queue(id, job.model, owner)
return { 'accepted', id }
