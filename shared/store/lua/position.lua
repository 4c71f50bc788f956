-- Places in the fair queue. Owners take turns: when a job's turn comes, owners behind its own have had `turn`
-- turns, and owners ahead one more, or all that they have jobs for. Of more than `COUNTED` owners, that
-- many are counted, and the others are taken for their average.
local COUNTED = 50

local function count_jobs(model, from, to, turns)
  local counted, before, jobs = 0, 0, 0
  for _, other in ipairs(redis.call('ZRANGE', turns_key(model), from, math.min(to, from + COUNTED - 1))) do
    local waiting = redis.call('ZCARD', owner_turns_key(model, other))
    counted, before, jobs = counted + 1, before + math.min(waiting, turns), jobs + waiting
  end
  if counted == 0 then return 0, 0 end
  local all = to - from + 1
  return math.floor(before * all / counted), math.floor(jobs * all / counted)
end

-- The jobs whose turn comes before that of an owner's job number `turn`, and all jobs of other owners:
-- `ahead` of them are before the owner, and those from `behind` on after it.
local function jobs_before(model, ahead, behind, turn)
  local owners = redis.call('ZCARD', turns_key(model))
  local before, jobs, later, later_jobs = 0, 0, 0, 0
  if ahead > 0 then before, jobs = count_jobs(model, 0, ahead - 1, turn + 1) end
  if behind < owners then later, later_jobs = count_jobs(model, behind, owners - 1, turn) end
  return before + turn + later, jobs + later_jobs
end

-- The seconds until a new job of an owner begins, at the fastest pace of the last minute: that of all of it
-- is low after a quiet time, whatever the workers can do. Nil if nothing was completed.
local function expected_wait_s(model, owner)
  local _, fastest = pace()
  if fastest == 0 then return end
  local turns, own = turns_key(model), owner_turns_key(model, owner)
  local function joins_after(key)
    return redis.call('ZCOUNT', key, '-inf', redis.call('HGET', CLOCK, key) or 0)
  end
  local rank = redis.call('ZRANK', turns, owner)
  if rank then return jobs_before(model, rank, rank + 1, joins_after(own)) / fastest end
  local ahead = joins_after(turns)
  return jobs_before(model, ahead, ahead, 0) / fastest
end
