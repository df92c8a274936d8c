-- stock_recall: tells decided orders that the gate remembers, a part of them.
--
-- args     1 cursor, '0' for the first part   2 about how many
-- answers  { next cursor or '0', id, answer, .. }; an order may be told twice
--
-- It looks at no run_id: what a gate remembers that was restarted since is evidence all the same.
local told = call('HSCAN', ORDER, ARGV[1], 'COUNT', ARGV[2])
local answers = { told[1] }
for _, word in ipairs(told[2]) do answers[#answers + 1] = word end
return answers
