-- room_change: changes what an operator sets.
--
-- args     1 time or ''   2 mode or ''   3 "admits per_ms saved in_a_second" or ''   4 capacity or ''   5 message or ''
-- answers  {} if there is no room, else levels
-- holds    a change that changes nothing is none; another pace begins without credit; what was granted stays granted
if not look(ARGV[1]) then return {} end
local mode, pace, capacity = match(fields[2], '^(%a+) (%d+ %d+ %d+ %d+) (%d+)$')
local function given(word, else_word) return word ~= '' and word or else_word end
local new_pace = given(ARGV[3], pace)
keep('set', given(ARGV[2], mode) .. ' ' .. new_pace .. ' ' .. given(ARGV[4], capacity))
keep('message', given(ARGV[5], fields[3]))
if not next(changed) then return levels() end
if new_pace ~= pace then
  local at, grants = match(fields[7], '^%d+ (%d+)(.*)$')
  keep('spending', '0 ' .. text(max(tonumber(at), now)) .. grants)
end
room.edition = room.edition + 1
read_terms()
settle()
save()
return levels()
