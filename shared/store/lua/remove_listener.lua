-- ARGV: job id.
-- After it: the job has one listener less. Returns how many are left.
if redis.call('EXISTS', listeners_key(ARGV[1])) == 0 then return 0 end
local left = redis.call('DECR', listeners_key(ARGV[1]))
if left <= 0 then redis.call('DEL', listeners_key(ARGV[1])) end
return left
