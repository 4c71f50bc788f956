-- Put in front of every script. LEGAL is TRANSITIONS of shared/jobs.py, so that there is one table.
local LEGAL = @TRANSITIONS@
-- Segment to when its lease runs out; job to when it was accepted, and to when it ended: every one,
-- and those whose segments' files may still be there.
local LEASES, JOBS, ENDED, LEFTOVERS = 'tts:leases', 'tts:jobs', 'tts:ended', 'tts:leftovers'
-- Model to how many segments wait for it; owner to its jobs that have not ended, and their characters.
local QUEUES, OPEN_JOBS, OPEN_CHARS = 'tts:queues', 'tts:open_jobs', 'tts:open_chars'
-- Job to when it is to be cancelled, if it has not ended by then.
local DEADLINES = 'tts:deadlines'
-- Voice to since when its folder may be there though the voice is not.
local VOICE_FOLDERS = 'tts:voice_folders'

-- Who does not reconcile for so many seconds is away; messages too many that are left alone.
local AWAY_S, MOST_STALE = 5, 500

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

-- The fence: whether `epoch` still holds the segment.
local function holds(segment, epoch)
  local key = segment_key(segment)
  return status_of(key) == 'in_progress' and redis.call('HGET', key, 'epoch') == epoch
end

-- What an owner has had on this day of UTC: characters that were accepted, samples that were spoken.
local function used_key(owner, at)
  return 'tts:used:' .. math.floor((at or now()) / 86400) .. ':' .. owner
end
local function use(owner, what, amount, at)
  local key = used_key(owner, at)
  local is_first = redis.call('HINCRBY', key, what, amount) == tonumber(amount)
  if is_first then redis.call('EXPIRE', key, 2 * 86400) end
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
