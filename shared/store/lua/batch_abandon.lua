-- ARGV: batch id.
-- After it: the batch is gone, but none of its jobs, or 0: it was accepted, and nothing has changed.
local id = ARGV[1]
if redis.call('HEXISTS', batch_key(id), 'admitted_at') == 1 then return 0 end
redis.call('UNLINK', batch_key(id), batch_lines_key(id))
return 1
