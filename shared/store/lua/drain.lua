-- ARGV: the worker, seconds for which this holds unless the worker renews it.
-- After it: the worker claims nothing. Returns since when; false: there is no such worker.
local worker, ttl_s = unpack(ARGV)
if redis.call('EXISTS', worker_key(worker)) == 0 then return false end
redis.call('SET', draining_key(worker), now(), 'NX', 'EX', ttl_s)
return redis.call('GET', draining_key(worker))
