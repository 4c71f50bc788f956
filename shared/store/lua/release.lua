-- ARGV: segment id, epoch, most attempts, why it is given back.
-- After it: the segment waits again, and neither the attempt nor its turn counts, or 0: the epoch is
-- stale.
local segment, epoch, max_attempts = ARGV[1], ARGV[2], tonumber(ARGV[3])
if not holds_lease(segment, epoch) then return 0 end
record_attempt(segment, 'released', ARGV[4])
redis.call('HINCRBY', segment_key(segment), 'attempts', -1)
settle_turn(segment, 0)
enqueue_again(segment, max_attempts, 'released')
return 1
