-- Put in front of every script. LEGAL is TRANSITIONS of shared/jobs.py, so that there is one table.
local LEGAL = @TRANSITIONS@
-- Segment to when its lease runs out; job to when it was accepted, and to when it ended: every one,
-- and those whose segments' files may still be there.
local LEASES, JOBS, ENDED, LEFTOVERS = 'tts:leases', 'tts:jobs', 'tts:ended', 'tts:leftovers'
-- Model to how many segments wait for it; owner to its jobs that have not ended, and their characters.
local QUEUES, OPEN_JOBS, OPEN_CHARS = 'tts:queues', 'tts:open_jobs', 'tts:open_chars'
-- Owner to its segments that are not done, and the bytes of recordings of its jobs that have not ended.
local OPEN_SEGMENTS, OPEN_BYTES = 'tts:open_segments', 'tts:open_bytes'
-- Seconds after which an admission that does not go on is given up.
local ADMITTED_WITHIN_S = 60
-- Job whose segments are still being written to when it is given up; model to how many such segments.
local ADMITTING, ADMITTING_SEGMENTS = 'tts:admitting', 'tts:admitting_segments'
-- Deleted job to how many of its segments are still there, and to when it was deleted.
local DELETING, FORGOTTEN = 'tts:deleting', 'tts:forgotten'
-- Job to when it is to be cancelled, if it has not ended by then.
local DEADLINES = 'tts:deadlines'
-- The newest version that has written to this ledger, and the oldest that may use it.
local LEDGER = 'tts:ledger'
-- Voice to since when its folder may be there though the voice is not.
local VOICE_FOLDERS = 'tts:voice_folders'


-- A step has one time, however often it asks for it.
local asked_at
local function now()
  if not asked_at then
    local time = redis.call('TIME')
    asked_at = time[1] + time[2] / 1e6
  end
  return asked_at
end

local function job_key(id) return 'tts:job:' .. id end
local function segment_key(id) return 'tts:segment:' .. id end
local function owned_key(owner) return 'tts:jobs:' .. owner end
local function voice_key(id) return 'tts:voice:' .. id end
local function voices_key(owner) return 'tts:voices:' .. owner end
local function listeners_key(id) return 'tts:listeners:' .. id end
local function waiting_key(id) return 'tts:waiting:' .. id end
local function suspects_key(model) return 'tts:suspects:' .. model end
local function job_of(segment) return (segment:gsub(':[^:]*$', '')) end
local function is_join(segment) return segment:sub(-5) == ':join' end
local function status_of(key) return redis.call('HGET', key, 'status') end
local function number(key, field) return tonumber(redis.call('HGET', key, field) or 0) end

-- The only place where a status changes; false when the change is not legal from here.
local function move(key, to)
  for _, legal in ipairs(LEGAL[status_of(key)] or {}) do
    if legal == to then
      redis.call('HSET', key, 'status', to)
      return true
    end
  end
  return false
end

-- Adds to a counter, which is gone at 0.
local function count(key, field, by)
  if redis.call('HINCRBY', key, field, by) == 0 then redis.call('HDEL', key, field) end
end

-- True until a job has ended. When it ends its segments are not touched, for there may be 100,000 of
-- them: none of an ended job waits, and no claim on one holds.
local function is_open(id)
  local legal = LEGAL[status_of(job_key(id))]
  return legal ~= nil and #legal > 0
end

-- The worker that speaks a segment now, if one does.
local function holder(segment)
  local status, worker = unpack(redis.call('HMGET', segment_key(segment), 'status', 'worker'))
  return status == 'in_progress' and is_open(job_of(segment)) and worker
end

-- The fence: true if `epoch` still holds the segment.
local function holds(segment, epoch)
  local status, newest = unpack(redis.call('HMGET', segment_key(segment), 'status', 'epoch'))
  return status == 'in_progress' and newest == epoch and is_open(job_of(segment))
end

-- What an owner has had on this day of UTC: characters and samples, counted on the day of acceptance.
local function used_key(owner, at)
  return 'tts:used:' .. math.floor((at or now()) / 86400) .. ':' .. owner
end
local function use(owner, what, amount, at)
  local key = used_key(owner, at)
  local is_first = redis.call('HINCRBY', key, what, amount) == tonumber(amount)
  if is_first then redis.call('EXPIRE', key, 2 * 86400) end
end
-- Takes the difference between what was reserved and what it came to, while that day is remembered.
local function settle_use(owner, what, difference, at)
  if difference ~= 0 and redis.call('EXISTS', used_key(owner, at)) == 1 then
    redis.call('HINCRBY', used_key(owner, at), what, difference)
  end
end

-- Segments that were completed each second of the last minute; with ':samples', their samples.
local function pace_key(ago, what) return 'tts:pace:' .. math.floor(now() / 10) - ago .. (what or '') end
local function pace(what)
  local keys, done = {}, 0
  for ago = 0, 5 do keys[#keys + 1] = pace_key(ago, what) end
  for _, some in ipairs(redis.call('MGET', unpack(keys))) do done = done + (tonumber(some or 0)) end
  return done / 60
end
local function keep_pace(what, amount)
  redis.call('INCRBY', pace_key(0, what), amount)
  redis.call('EXPIRE', pace_key(0, what), 70)
end
