-- The bare decrement: what a counter alone costs. Keeps no id, no buyer, no deadline.
--
-- keys     1 units left
-- args     1 units
-- answers  what is left, or -1
local left = tonumber(redis.call('GET', KEYS[1]))
local units = tonumber(ARGV[1])
if not left or left < units then return -1 end
return redis.call('DECRBY', KEYS[1], units)
