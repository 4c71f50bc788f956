-- ARGV: segment id, epoch.
-- After it: the segment waits again and the attempt does not count, or 0: the epoch is stale.
local segment, epoch = ARGV[1], ARGV[2]
if not holds(segment, epoch) then return 0 end
move(segment_key(segment), 'queued')
redis.call('HINCRBY', segment_key(segment), 'attempts', -1)
enqueue(segment)
return 1
