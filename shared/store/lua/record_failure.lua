-- ARGV: segment id, epoch, reason.
-- After it: the segment keeps why this attempt came to nothing, or 0: the epoch is stale.
local segment, epoch, reason = unpack(ARGV)
if not holds_lease(segment, epoch) then return 0 end
if redis.call('HGET', segment_key(segment), 'reason') == reason then return 1 end -- sent again
redis.call('HSET', segment_key(segment), 'reason', reason)
record_attempt(segment, 'attempt_failed', reason)
return 1
