-- ARGV: segment id, epoch, code, message.
-- After it: segment and job have failed with this code and message, or 0: the epoch is stale.
local segment, epoch, code, message = unpack(ARGV)
if not holds_lease(segment, epoch) then return 0 end
fail_segment(segment, code, message)
return 1
