-- ARGV: voice id, owner, name as names are compared, record (JSON), most voices of an owner, and how
-- many seconds after `voice_begin` its files are sure to be there.
-- After it: the voice is there, or nothing has changed. Returns the outcome and, if it is there, when it
-- was created.
local id, owner, name, record, most, within_s = unpack(ARGV)
local names = owner_voices_key(owner)
local known = redis.call('HGET', names, name)
-- Ids are of one use: it is this very step, sent again by a client whose connection broke.
if known == id then return { 'created', redis.call('HGET', voice_key(id), 'created_at') } end
if known then return { 'name_taken' } end
if redis.call('HLEN', names) >= tonumber(most) then return { 'too_many' } end
local begun = redis.call('ZSCORE', VOICE_FOLDERS, id)
if not begun or now() - begun > tonumber(within_s) then return { 'late' } end
redis.call('ZREM', VOICE_FOLDERS, id)
redis.call('HSET', names, name, id)
redis.call('HSET', voice_key(id), 'owner', owner, 'name', name, 'record', record, 'created_at', now())
return { 'created', redis.call('HGET', voice_key(id), 'created_at') }
