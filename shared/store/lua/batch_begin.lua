-- ARGV: batch (JSON, see `Batches.begin`).
-- After it: the batch is there, for its jobs to be admitted; it goes by itself if they never all are.
-- Returns the fingerprint of the batch that has this id.
local batch = cjson.decode(ARGV[1])
local key = batch_key(batch.id)
if redis.call('EXISTS', key) == 0 then
  redis.call('HSET', key, 'id', batch.id, 'owner', batch.owner, 'endpoint', batch.endpoint,
    'fingerprint', batch.fingerprint, 'created_at', now(),
    'total', batch.total, 'invalid', batch.invalid or 0, 'open', batch.total, 'ttl_s', batch.ttl_s)
end
if redis.call('HEXISTS', key, 'admitted_at') == 0 then expire_batch(batch.id, 3600) end
return redis.call('HGET', key, 'fingerprint')
