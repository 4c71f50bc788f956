-- ARGV: lease in seconds, then segment id and epoch of each claim.
-- After it: every claim that still holds has a fresh lease, and a segment of an ended job none; returns
-- segment and epoch of the claims that do not hold.
local lost = {}
for i = 2, #ARGV, 2 do
  if holds_lease(ARGV[i], ARGV[i + 1]) then
    redis.call('ZADD', LEASES, 'XX', now() + tonumber(ARGV[1]), ARGV[i])
  else
    lost[#lost + 1] = ARGV[i]
    lost[#lost + 1] = ARGV[i + 1]
  end
end
return lost
