-- ARGV: job id, seconds for which it is remembered.
-- After it: one more listens to the job.
redis.call('INCR', listeners_key(ARGV[1]))
redis.call('EXPIRE', listeners_key(ARGV[1]), ARGV[2])
