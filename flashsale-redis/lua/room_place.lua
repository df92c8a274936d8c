-- room_place: tells where members stand, and takes it as a sign of life.
--
-- args     1 time or ''   then the members
-- answers  {} if there is no room, else levels, then a place (as in `room_members`) or nil for each
if not look(ARGV[1]) then return {} end
local told = ask(seen)
write_members()
save()
return answer(told)
