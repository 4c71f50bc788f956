-- Deleting a job: its record in one step, and its segments a part at a time.
local MAX_DELETED = 500

-- Deletes everything of a job but its segments, which `delete_segments` deletes.
local function forget_job(id)
  local job = job_key(id)
  local total, same, owner, model =
    unpack(redis.call('HMGET', job, 'total', 'idempotency', 'owner', 'model'))
  redis.call('ZADD', DELETING, total, id)
  redis.call('ZADD', FORGOTTEN, now(), id)
  clear_queue(id, model, owner)
  redis.call('UNLINK', job, segment_key(id .. ':join'), listeners_key(id), retrying_key(id), history_key(id))
  if same and redis.call('HGET', same, 'job') == id then redis.call('DEL', same) end
  redis.call('ZREM', JOBS, id)
  redis.call('ZREM', owner_jobs_key(owner), id)
  redis.call('ZREM', ENDED, id)
  redis.call('ZREM', LEFTOVERS, id)
end

-- Delete up to `MAX_DELETED` segments of a job that is not there any more; returns how many are left.
local function delete_segments(id)
  local left = tonumber(redis.call('ZSCORE', DELETING, id) or 0)
  local keep = math.max(0, left - MAX_DELETED)
  local keys = {}
  for place = keep, left - 1 do keys[#keys + 1] = segment_key(id .. ':' .. place) end
  if #keys > 0 then redis.call('UNLINK', unpack(keys)) end
  if keep == 0 then
    redis.call('ZREM', DELETING, id)
  else
    redis.call('ZADD', DELETING, keep, id)
  end
  return keep
end

-- Gives up an admission: what it had counted is given back, and its job is deleted.
local function abandon_admission(id)
  local job = job_key(id)
  if status_of(job) ~= 'admitting' then
    redis.call('ZREM', ADMITTING, id)
    return
  end
  local model, owner, chars, reserved, at, total =
    unpack(redis.call('HMGET', job, 'model', 'owner', 'chars', 'reserved', 'created_at', 'total'))
  close_account(id)
  settle_use(owner, 'chars', -chars, at)
  settle_use(owner, 'samples', -reserved, at)
  redis.call('ZREM', ADMITTING, id)
  add_counter(ADMITTING_SEGMENTS, model, -total)
  redis.call('UNLINK', waiting_key(id)) -- it was in no queue yet
  forget_job(id)
end
