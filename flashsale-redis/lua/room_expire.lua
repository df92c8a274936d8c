-- room_expire: clears away turns that have gone by, and places that ended long ago.
--
-- args     1 time or ''   2 the most of each
-- answers  {} if there is no room, else levels, lapsed, forgotten
-- holds    both in order of their end; a turn ended when it went by, not when it is cleared away
if not look(ARGV[1]) then return {} end
read_terms()
local most = tonumber(ARGV[2])

local lapsed = call('ZRANGEBYSCORE', TURN, '-inf', now_text, 'LIMIT', 0, most)
local ended = {}
for k, record in ipairs(read(MEMBER, lapsed)) do
  local of = entry(lapsed[k], record)
  ended[2 * k - 1], ended[2 * k] = of.at, of.id
  change(of, 'P', of.at)
end
room.turns, room.ended = room.turns - #lapsed, room.ended + #lapsed
write_members()
each('ZREM', TURN, lapsed)
each('ZADD', ENDED, ended)

local forgotten = call('ZRANGEBYSCORE', ENDED, '-inf', text(now - room.remembers), 'LIMIT', 0, most)
room.ended = room.ended - #forgotten
each('ZREM', ENDED, forgotten)
each('HDEL', MEMBER, forgotten)

save()
local told = levels()
told[#told + 1], told[#told + 2] = text(#lapsed), text(#forgotten)
return told
