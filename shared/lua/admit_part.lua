-- ARGV: job id, time after which its sender does not wait any more, number of the first segment, then
-- segments as in `admit`.
-- After it: these segments are there, too, and the job is queued if they were the last. Returns what
-- became of it, and the time if it is too late.
local id, by, place = unpack(ARGV)
local status = status_of(job_key(id))
if not status then return { 'gone' } end
if status ~= 'admitting' then return { 'accepted' } end -- this very step, sent again
if now() > tonumber(by) then return { 'late', string.format('%.6f', now()) } end
add_segments(id, tonumber(place), 4)
return { 'accepted' }
