-- ARGV: signer, a new secret, 'yes' if it replaces the current one, seconds for which the replaced one is
-- still used, most secrets in use.
-- After it: the signer has a current secret, which does not expire; returns all that are in use, the newest first.
local signer, fresh, rotates, kept_s, most = unpack(ARGV)
local key = webhook_secrets_key(signer)
local current = redis.call('ZRANGE', key, '+inf', '+inf', 'BYSCORE')[1]
if current and rotates == 'yes' and current ~= fresh then
  redis.call('ZADD', key, now() + kept_s, current)
  current = nil
end
if not current then redis.call('ZADD', key, '+inf', fresh) end
redis.call('ZREMRANGEBYSCORE', key, '-inf', now())
redis.call('ZREMRANGEBYRANK', key, 0, -1 - most)
return redis.call('ZRANGE', key, 0, -1, 'REV')
