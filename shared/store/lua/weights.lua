-- ARGV: a model, the fingerprint of a worker's weights of it, the worker, the key of the model's
-- workers, seconds for which its presence lasts, seconds for which a worker that has not signed out
-- may hold segments.
-- After it: the model is of these weights, and the worker is there, unless it is of other weights
-- and one of their workers may live, or segments wait for them. Returns the fingerprint that holds,
-- how many workers there are, and how many segments wait.
local model, weights, worker, presence = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local time = now()
local held = redis.call('HGET', WEIGHTS, model)
local workers = redis.call('ZCOUNT', presence, time - tonumber(ARGV[6]), '+inf')
local waiting = number(QUEUES, model)
if not held or held == weights or (workers == 0 and waiting == 0) then
  redis.call('HSET', WEIGHTS, model, weights)
  redis.call('ZADD', presence, time + tonumber(ARGV[5]), worker)
  return { weights, workers, waiting }
end
return { held, workers, waiting }
