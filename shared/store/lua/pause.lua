-- ARGV: the model.
-- After it: no segment of the model is claimed. Returns since when; false: no worker ever offered the
-- model, and nothing waits for it.
local model = ARGV[1]
if redis.call('HEXISTS', MODELS, model) == 0 and redis.call('HEXISTS', QUEUES, model) == 0 then return false end
redis.call('HSETNX', PAUSED, model, now())
return redis.call('HGET', PAUSED, model)
