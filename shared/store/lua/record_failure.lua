-- ARGV: segment id, epoch, reason.
-- After it: the segment keeps why this attempt came to nothing, or 0: the epoch is stale.
local segment, epoch, reason = unpack(ARGV)
if not holds_lease(segment, epoch) then return 0 end
redis.call('HSET', segment_key(segment), 'reason', reason)
return 1
