-- ARGV: batch id, number of the first line, then some of its lines (JSON) in order.
-- After it: the batch has these lines, too; writing them again changes nothing. 0: it is not there.
local id, place = ARGV[1], tonumber(ARGV[2])
local there = redis.call('LLEN', batch_lines_key(id))
-- Fewer lines than were written: it was abandoned meanwhile, and perhaps begun anew.
if redis.call('EXISTS', batch_key(id)) == 0 or there < place then return 0 end
for line = 3 + there - place, #ARGV do
  redis.call('RPUSH', batch_lines_key(id), ARGV[line])
end
if redis.call('HEXISTS', batch_key(id), 'admitted_at') == 0 then expire_batch(id, 3600) end
return 1
