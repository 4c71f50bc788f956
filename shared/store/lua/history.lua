-- The history of a job: a list of short entries, written by the steps that make the changes. Only `admit`
-- begins one: a job of a version that kept none, or one that is deleted, gets no entry later.
-- An entry: t(ime), e(vent), s(egment) or 'join', a(ttempt), w(orker), c(ode), r(eason), q: the request's id,
-- k: the webhook's event, n: a number of segments, or of entries that were left out.
local MAX_ENTRIES = 500
-- An end is kept even then, up to this number.
local MAX_WITH_ENDS = 1000
local MAX_REASON_BYTES = 500
-- Of a job's segments, the first and the last ones whose first claims are entries: those of all would be too many.
local ROUTINE_CLAIMS = 20
-- For the history of a job that a process of a version without histories deletes.
local HISTORY_TTL_S = 400 * 86400

local function encode_entry(event, fields)
  fields.t, fields.e = now(), event
  if fields.r and #fields.r > MAX_REASON_BYTES then
    -- Not in the middle of a character.
    fields.r = fields.r:sub(1, MAX_REASON_BYTES):gsub('[\192-\255][\128-\191]*$', '') .. '…'
  end
  return cjson.encode(fields)
end

local function begin_history(id, fields)
  redis.call('RPUSH', history_key(id), encode_entry('accepted', fields))
  redis.call('EXPIRE', history_key(id), HISTORY_TTL_S)
end

-- Count one more entry that is left out, in the entry number `MAX_ENTRIES`.
local function omit_entry(key)
  local last = cjson.decode(redis.call('LINDEX', key, MAX_ENTRIES))
  last.n, last.t = last.n + 1, now()
  redis.call('LSET', key, MAX_ENTRIES, cjson.encode(last))
end

local function record_history(id, event, fields, is_end)
  local key = history_key(id)
  local length = redis.call('LLEN', key)
  if length == 0 then return end
  if length == MAX_ENTRIES then
    length = redis.call('RPUSH', key, encode_entry('omitted', { n = 0 }))
  end
  if length < MAX_ENTRIES or (is_end and length < MAX_WITH_ENDS) then
    redis.call('RPUSH', key, encode_entry(event, fields or {}))
  else
    omit_entry(key)
  end
end

local function place_of(segment) return segment:match('[^:]*$') end

-- An event of a segment's present attempt; attempt and worker are read if they are not given.
local function record_attempt(segment, event, reason, attempt, worker)
  if not attempt then
    attempt, worker = unpack(redis.call('HMGET', segment_key(segment), 'attempts', 'worker'))
  end
  local fields = { s = place_of(segment), a = tonumber(attempt), w = worker or nil, r = reason }
  record_history(job_of(segment), event, fields)
end

-- A claim is an entry unless it is routine: a first attempt in the middle of a long job.
local function record_claim(segment, attempt)
  local place = tonumber(place_of(segment))
  if attempt == 1 and place and place >= ROUTINE_CLAIMS
    and place < number(job_key(job_of(segment)), 'total') - ROUTINE_CLAIMS then
    return
  end
  record_attempt(segment, 'claimed')
end
