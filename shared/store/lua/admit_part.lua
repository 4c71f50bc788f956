-- ARGV: job id, time after which its sender does not wait any more, number of the first segment, then
-- segments as in `admit`.
-- After it: these segments are there, too, and the job is queued if they were the last. Returns the
-- outcome, the id, and the time.
local id, by, place = unpack(ARGV)
local status = status_of(job_key(id))
local time = string.format('%.6f', now())
if not status then return { 'gone', '', time } end
if status ~= 'admitting' then return { 'accepted', id, time } end -- this very step, sent again
if now() > tonumber(by) then return { 'late', '', time } end
add_segments(id, tonumber(place), 4)
return { 'accepted', id, time }
