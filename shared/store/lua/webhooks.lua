-- A job's events wait in the queue of their receiver until they are delivered. A receiver is a host as
-- one owner uses it, and gets one event at a time: a slow one holds up itself only.

local function wants(webhook, kind)
  for _, wanted in ipairs(webhook.events) do
    if wanted == kind then return true end
  end
  return false
end

local function queue_event(event, receiver)
  redis.call('ZADD', events_key(receiver), now(), event)
  if redis.call('EXISTS', busy_key(receiver)) == 0 then
    redis.call('ZADD', RECEIVERS, 'LT', now(), receiver)
  end
end

-- Between two retries a job is in each status once, so an event's id follows from them: a step that is
-- done again, by a Redis that came back without its last second, makes no second event of it.
local function notify(id, status)
  local written, owner, created_at, name, retries, request, traceparent = unpack(redis.call('HMGET', job_key(id),
    'webhook', 'owner', 'created_at', 'name', 'retries', 'request', 'traceparent'))
  if not written then return end
  local webhook, kind = cjson.decode(written), 'job.' .. status
  if not wants(webhook, kind) then return end
  local again = retries and ' ' .. retries or ''
  local event = 'evt_' .. redis.sha1hex(id .. ' ' .. created_at .. ' ' .. kind .. again)
  local receiver = owner .. ' ' .. webhook.receiver
  redis.call('HSET', event_key(event), 'id', event, 'type', kind, 'job', id, 'public_id', name or id,
    'url', webhook.url, 'receiver', receiver, 'signer', webhook.signer, 'at', now(), 'attempt', 0,
    'request', request or '', 'traceparent', traceparent or '')
  queue_event(event, receiver)
end
