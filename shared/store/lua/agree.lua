-- ARGV: version of the caller, oldest version that may go on beside it.
-- After it: the ledger knows both, and is never taken back to older ones. Returns the oldest version that
-- may use it.
local version, oldest = tonumber(ARGV[1]), tonumber(ARGV[2])
for field, ours in pairs({ version = version, oldest = oldest }) do
  if number(LEDGER, field) < ours then redis.call('HSET', LEDGER, field, ours) end
end
return number(LEDGER, 'oldest')
