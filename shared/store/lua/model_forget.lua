-- ARGV: the model, the key of its workers, how long a presence lasts at the most.
-- After it: the model is forgotten, unless a worker of it lives or segments wait for it. Returns
-- whether it was known, how many workers live, and how many segments wait.
-- Segments that are queued for a forgotten model later are found by its entry in QUEUES.
local model, presence, lasts_s = ARGV[1], ARGV[2], tonumber(ARGV[3])
if redis.call('HEXISTS', MODELS, model) == 0 then return { 0, 0, 0 } end
local workers, waiting = redis.call('ZCOUNT', presence, now(), now() + lasts_s), number(QUEUES, model)
if workers == 0 and waiting == 0 then
  redis.call('HDEL', MODELS, model)
  redis.call('ZREM', MODELS_SEEN, model)
  redis.call('HDEL', PAUSED, model)
  redis.call('HDEL', WEIGHTS, model)
  redis.call('DEL', presence)
end
return { 1, workers, waiting }
