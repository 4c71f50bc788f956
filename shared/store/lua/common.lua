-- Put in front of every script, after the keys (`shared/store/keys.py`).
-- LEGAL is TRANSITIONS of shared/jobs.py, so that there is one table.
local LEGAL = @TRANSITIONS@
-- Seconds after which an admission that does not go on is given up.
local ADMITTED_WITHIN_S = 60

-- A step has one time, however often it asks for it.
local asked_at
local function now()
  if not asked_at then
    local time = redis.call('TIME')
    asked_at = time[1] + time[2] / 1e6
  end
  return asked_at
end

local function job_of(segment) return (segment:gsub(':[^:]*$', '')) end
local function is_join(segment) return segment:sub(-5) == ':join' end
local function status_of(key) return redis.call('HGET', key, 'status') end
local function number(key, field) return tonumber(redis.call('HGET', key, field) or 0) end

-- The only place where a status changes; false when the change is not legal from here.
local function transition(key, to)
  for _, legal in ipairs(LEGAL[status_of(key)] or {}) do
    if legal == to then
      redis.call('HSET', key, 'status', to)
      return true
    end
  end
  return false
end

-- Adds to a counter, which is gone at 0.
local function add_counter(key, field, by)
  if redis.call('HINCRBY', key, field, by) == 0 then redis.call('HDEL', key, field) end
end

-- Counts something that happened, for the metrics (`shared/store/queue_figures.py` reads them). Called
-- after a change that a step which is sent twice makes once.
local function count_event(event, detail, model, by)
  redis.call('HINCRBY', COUNTS, table.concat({ event, detail, model or '-' }, ' '), by or 1)
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

-- The fence: true if `epoch` still holds the segment. A segment of an ended job has no lease after it,
-- since its worker will not renew one again.
local function holds_lease(segment, epoch)
  if not is_open(job_of(segment)) then
    redis.call('ZREM', LEASES, segment)
    return false
  end
  local status, newest = unpack(redis.call('HMGET', segment_key(segment), 'status', 'epoch'))
  return status == 'in_progress' and newest == epoch
end

-- The usage of an owner on a day of UTC: characters and samples, counted on the day of acceptance.
local function used_key(owner, at)
  return usage_key(math.floor((at or now()) / 86400), owner)
end
local function add_usage(owner, what, amount, at)
  local key = used_key(owner, at)
  local is_first = redis.call('HINCRBY', key, what, amount) == tonumber(amount)
  if is_first then redis.call('EXPIRE', key, 2 * 86400) end
end
-- Adds the difference between what was used and what was reserved, while the day's usage is kept.
local function settle_use(owner, what, difference, at)
  if difference ~= 0 and redis.call('EXISTS', used_key(owner, at)) == 1 then
    redis.call('HINCRBY', used_key(owner, at), what, difference)
  end
end

-- Segments that were completed each second of the last minute, and of its fastest 10 seconds; with
-- ':samples', their samples.
local function pace_ago(ago, what) return pace_key(math.floor(now() / 10) - ago, what or '') end
local function pace(what)
  local keys, done, most = {}, 0, 0
  for ago = 0, 5 do keys[#keys + 1] = pace_ago(ago, what) end
  for _, some in ipairs(redis.call('MGET', unpack(keys))) do
    local count = tonumber(some or 0)
    done, most = done + count, math.max(most, count)
  end
  return done / 60, most / 10
end
local function record_throughput(what, amount)
  redis.call('INCRBY', pace_ago(0, what), amount)
  redis.call('EXPIRE', pace_ago(0, what), 70)
end
