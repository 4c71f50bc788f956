-- ARGV: the job (JSON, see `shared.store.admission`), its spec, its outline, then its first segments, each its text,
-- its range and its expected frames.
-- After it: the job and these segments are there and counted, and it is queued if they are all; or
-- nothing has changed. It is not begun after `job.by`, when its sender does not wait any more.
-- Returns the outcome; the id of the job that is there now, or the seconds until there is room; the time;
-- and when that job was created and, if it has a deadline, when it is cancelled.
local job = cjson.decode(ARGV[1])
local time = string.format('%.6f', now())
local id, owner, limits, total = job.id, job.owner, job.limits, job.total
local function times_of(accepted) return redis.call('HMGET', job_key(accepted), 'created_at', 'cancel_at') end
local same = job.idempotency and idempotency_key(owner, job.idempotency)
local known, fingerprint = unpack(same and redis.call('HMGET', same, 'job', 'fingerprint') or {})
-- Ids are of one use: it is this very step, sent again by a client whose connection broke.
if known ~= id and redis.call('EXISTS', job_key(id)) == 1 then return { 'known', id, time, times_of(id) } end
if known then
  if fingerprint ~= job.fingerprint then return { 'reused', known, time } end
  if known == id or status_of(job_key(known)) ~= 'admitting' then
    return { 'known', known, time, times_of(known) }
  end
  local until_s = tonumber(redis.call('ZSCORE', ADMITTING, known) or 0)
  return { now() > until_s and 'stopped' or 'admitting', known, time }
end
if now() > job.by then return { 'late', '', time } end

local function wait_for(excess)
  return math.ceil(math.min(120, math.max(1, excess / math.max(pace(), 1 / 120))))
end
local open = redis.call('ZCARD', LEASES)
for _, key in ipairs({ QUEUES, ADMITTING_SEGMENTS }) do
  for _, segments in ipairs(redis.call('HVALS', key)) do open = open + segments end
end
if open + total > limits.open_segments then
  return { 'queue_full', wait_for(open + total - limits.open_segments), time }
end
local jobs = number(OPEN_JOBS, owner)
-- A worker of an older version may have miscounted these: without open jobs they are deleted.
if jobs == 0 then
  redis.call('HDEL', OPEN_SEGMENTS, owner)
  redis.call('HDEL', OPEN_BYTES, owner)
end
-- The seconds until the owner has room; false if it has. Its excess, as a share of what it has open, is
-- taken for the same share of all open segments.
local function is_over(held, more, limit)
  return held + more > limit and wait_for(open * (held + more - limit) / math.max(held, 1))
end
for _, bound in ipairs({
  { 'too_many_jobs', jobs, 1, limits.owner_jobs },
  { 'too_many_chars', number(OPEN_CHARS, owner), job.chars, limits.owner_chars },
  { 'too_many_segments', number(OPEN_SEGMENTS, owner), total, limits.owner_segments },
  { 'too_many_bytes', number(OPEN_BYTES, owner), job.bytes, limits.owner_bytes },
}) do
  local wait_s = is_over(bound[2], bound[3], bound[4])
  if wait_s then return { bound[1], wait_s, time } end
end
local used = redis.call('HMGET', used_key(owner), 'chars', 'samples')
if tonumber(used[1] or 0) + job.chars > limits.day_chars then return { 'day_chars', 0, time } end
if tonumber(used[2] or 0) + job.reserved > limits.day_samples then
  return { job.reserved > limits.day_samples and 'too_long' or 'day_audio_s', 0, time }
end
if job.begin_within_s then
  if redis.call('HEXISTS', PAUSED, job.model) == 1 then return { 'too_late', 60, time } end
  local late_s = (expected_wait_s(job.model, owner) or 0) - job.begin_within_s
  if late_s > 0 then return { 'too_late', math.ceil(math.min(120, late_s)), time } end
end

local record = { id = id, status = 'admitting', owner = owner, model = job.model, spec = ARGV[2],
  outline = ARGV[3], chars = job.chars, bytes = job.bytes, reserved = job.reserved, created_at = now(),
  total = total, priority = job.priority, weight = job.weight, batch = job.batch, name = job.name,
  webhook = job.webhook, version = job.version, idempotency = same or nil, request = job.request,
  traceparent = job.traceparent }
if job.cancel_after_s then record.cancel_at = now() + job.cancel_after_s end
if same then redis.call('HSET', same, 'job', id, 'fingerprint', job.fingerprint) end
local fields = {}
for field, value in pairs(record) do
  fields[#fields + 1], fields[#fields + 2] = field, value
end
redis.call('HSET', job_key(id), unpack(fields))
begin_history(id, { n = total, q = job.request })
add_usage(owner, 'chars', job.chars)
add_usage(owner, 'samples', job.reserved)
add_counter(OPEN_JOBS, owner, 1)
add_counter(OPEN_CHARS, owner, job.chars)
add_counter(OPEN_SEGMENTS, owner, total)
if job.bytes > 0 then add_counter(OPEN_BYTES, owner, job.bytes) end
add_counter(ADMITTING_SEGMENTS, job.model, total)
add_segments(id, 0, 4)
return { 'accepted', id, time, times_of(id) }
