-- Admitting a job: its record first, its segments a part at a time, and with the last of them it opens.

-- Open a job whose segments are all there: from here on it will end, one way or another.
local function open_job(id)
  local job = job_key(id)
  local model, owner, total, cancel_at, priority =
    unpack(redis.call('HMGET', job, 'model', 'owner', 'total', 'cancel_at', 'priority'))
  transition(job, 'queued')
  redis.call('ZREM', ADMITTING, id)
  add_counter(ADMITTING_SEGMENTS, model, -total)
  redis.call('ZADD', JOBS, now(), id)
  redis.call('ZADD', owner_jobs_key(owner), now(), id)
  if cancel_at then redis.call('ZADD', DEADLINES, cancel_at, id) end
  count_waiting(model, priority, total)
  join_queue(id, model, owner)
  count_event('jobs_accepted', priority or 'normal', model)
  record_history(id, 'queued')
end

-- Write the segments in ARGV from `first` on, each its text, its range and its expected frames, as those
-- from number `place` on; writing them again changes nothing.
local function add_segments(id, place, first)
  local waiting = {}
  for arg = first, #ARGV, 3 do
    local segment = id .. ':' .. place
    create_segment(segment, place, ARGV[arg], ARGV[arg + 1], ARGV[arg + 2])
    waiting[#waiting + 1], waiting[#waiting + 2] = place, segment
    place = place + 1
  end
  redis.call('ZADD', waiting_key(id), unpack(waiting))
  redis.call('ZADD', ADMITTING, now() + ADMITTED_WITHIN_S, id)
  if place == number(job_key(id), 'total') then open_job(id) end
end
