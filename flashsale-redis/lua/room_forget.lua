-- room_forget: forgets a room and everybody in it.
--
-- answers  1
wipe()
return 1
