-- flashsale: the payment line, on SQLite.
--
-- Run after 0003 by `SqliteLedger::migrate`, or by a tool of your own. Orders that are to be paid have a number from now on; older ones have none.

INSERT INTO flashsale_schema (version, done) VALUES (4, 0);

ALTER TABLE orders ADD COLUMN pay_no INTEGER;

-- The last number that was given; written with the version, under the lock.
ALTER TABLE sale ADD COLUMN issued INTEGER NOT NULL DEFAULT 0;

-- How many of the numbers have left the line. A row of its own: who leaves does not wait for the sale.
CREATE TABLE payment_line (
    sale   TEXT    NOT NULL PRIMARY KEY,
    served INTEGER NOT NULL DEFAULT 0
) STRICT;

INSERT INTO payment_line (sale, served) SELECT id, 0 FROM sale;

UPDATE flashsale_schema SET done = 1 WHERE version = 4;
