-- ARGV: the statuses that are wanted, with spaces around each, or ''; then job ids, 200 at the most.
-- Changes nothing. Returns the fields of each job as JSON, which is faster to read than a list, with the time;
-- false where there is no job, or one of another status. A status of a newer version is never left out.
local wanted, jobs = ARGV[1], {}
for place = 2, #ARGV do
  local key = job_key(ARGV[place])
  local status = wanted ~= '' and status_of(key)
  local is_other = status and LEGAL[status] and not wanted:find(' ' .. status .. ' ', 1, true)
  local flat, job = is_other and {} or redis.call('HGETALL', key), { seen_at = tostring(now()) }
  for field = 1, #flat, 2 do job[flat[field]] = flat[field + 1] end
  jobs[place - 1] = #flat > 0 and cjson.encode(job)
end
return jobs
