-- room_levels: tells how the room stands.
--
-- args     1 time or ''
-- answers  {} if there is no room, else { now, terms, set, message, state, arrivals, served }
if not look(ARGV[1]) then return {} end
return levels()
