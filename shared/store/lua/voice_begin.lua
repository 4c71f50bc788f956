-- ARGV: voice id.
-- After it: the voice's folder may be there; it is deleted later, unless the voice is created soon.
redis.call('ZADD', VOICE_FOLDERS, now(), ARGV[1])
