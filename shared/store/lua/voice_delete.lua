-- ARGV: voice id.
-- After it: there is no such voice, its name is free, and its folder is to be deleted; or 0: there was
-- none, and nothing has changed.
local id = ARGV[1]
local owner, name = unpack(redis.call('HMGET', voice_key(id), 'owner', 'name'))
if not owner then return 0 end
redis.call('HDEL', owner_voices_key(owner), name)
redis.call('DEL', voice_key(id))
redis.call('ZADD', VOICE_FOLDERS, now(), id)
return 1
