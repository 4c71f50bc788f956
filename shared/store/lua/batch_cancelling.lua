-- ARGV: batch id.
-- After it: the batch says that it is being cancelled, unless it has ended or is not there.
local batch = batch_key(ARGV[1])
if number(batch, 'open') == 0 then return 0 end
return redis.call('HSETNX', batch, 'cancelling_at', now())
