-- room_open: begins a room, unless it is there.
--
-- args     1 time or ''   2 terms   3 set   4 message
-- answers  levels
-- holds    a room that is there does not change; the generation of a new one is the time
-- refuses  a server that may evict keys: a room that forgets single keys is worse than one that forgets all
if look(ARGV[1]) then return levels() end
local policy = match(call('INFO', 'memory'), 'maxmemory_policy:([%w-]+)')
if policy ~= 'noeviction' then
  return redis.error_reply('EVICTION maxmemory-policy is ' .. tostring(policy) .. ', it must be noeviction')
end
wipe()
room = { door = 'closed', edition = 1, generation = now, serving = 0, issued = 0, line = 0, early = 0, away = 0, turns = 0,
  ended = 0, runs = 0 }
fields = { false, false, false, false, false, false, false }
keep('terms', ARGV[2])
keep('set', ARGV[3])
keep('message', ARGV[4])
keep('arrivals', '0' .. string.rep(' 0', 10))
keep('served', '0' .. string.rep(' 0', 13))
read_terms()
keep('spending', text(room.saved) .. ' ' .. now_text)
settle()
-- The first edition is that with which it begins.
room.edition = 1
save()
return levels()
