-- room_leave: ends the places and turns of members who leave. The line still names them, and passes them when it comes to them.
--
-- args     1 time or ''   then the members
-- answers  {} if there is no room, else levels, then a place (as in `room_members`) or nil for each
if not look(ARGV[1]) then return {} end
local turned, ended = {}, {}
local told = ask(function(of)
  if not is_done(of) then
    if of.state == 'L' then
      room.line = room.line - 1
    elseif of.state == 'A' then
      room.away = room.away - 1
    elseif of.state == 'E' then
      call('ZREM', AHEAD, early_text(of))
      room.early = room.early - 1
    else
      turned[#turned + 1] = of.id
      room.turns = room.turns - 1
    end
    room.ended = room.ended + 1
    ended[#ended + 1] = now_text
    ended[#ended + 1] = of.id
    change(of, 'G', now_text)
  end
  return place(of)
end)
write_members()
each('ZREM', TURN, turned)
each('ZADD', ENDED, ended)
save()
return answer(told)
