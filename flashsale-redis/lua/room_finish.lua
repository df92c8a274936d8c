-- room_finish: ends live turns whose members did what they came for.
--
-- args     1 time or ''   then the members
-- answers  {} if there is no room, else levels, then a place (as in `room_members`) or nil for each
if not look(ARGV[1]) then return {} end
local turned, ended = {}, {}
local told = ask(function(of)
  if of.state == 'T' and not gone_by(of) then
    room.turns, room.ended = room.turns - 1, room.ended + 1
    turned[#turned + 1] = of.id
    ended[#ended + 1] = now_text
    ended[#ended + 1] = of.id
    change(of, 'F', now_text)
  end
  return place(of)
end)
write_members()
each('ZREM', TURN, turned)
each('ZADD', ENDED, ended)
save()
return answer(told)
