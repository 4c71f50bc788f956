-- ARGV: job id, seconds for which it is remembered.
-- After it: the job has one listener more.
redis.call('INCR', listeners_key(ARGV[1]))
redis.call('EXPIRE', listeners_key(ARGV[1]), ARGV[2])
