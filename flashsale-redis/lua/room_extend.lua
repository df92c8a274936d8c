-- room_extend: makes live turns longer, counted from their end, where an extension is left.
--
-- args     1 time or ''   then the members
-- answers  {} if there is no room, else levels, then a place (as in `room_members`) or nil for each
if not look(ARGV[1]) then return {} end
read_terms()
local ends = {}
local told = ask(function(of)
  if of.state == 'T' and not gone_by(of) and of.left ~= '0' then
    of.left = text(of.left - 1)
    change(of, 'T', text(of.at + room.turn))
    ends[#ends + 1] = of.at
    ends[#ends + 1] = of.id
  end
  return place(of)
end)
write_members()
each('ZADD', TURN, ends)
return answer(told)
