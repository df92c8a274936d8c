-- flashsale: notices, on SQLite.
--
-- Run after 0001 by `SqliteLedger::migrate`, or by a tool of your own. What members are not told yet has a row here, until it is handed over.

INSERT INTO flashsale_schema (version, done) VALUES (2, 0);

CREATE TABLE notice (
    id     TEXT    NOT NULL PRIMARY KEY, -- its fixed key
    body   TEXT    NOT NULL, -- JSON
    tries  INTEGER NOT NULL,
    due_at INTEGER NOT NULL
) STRICT;

CREATE INDEX notice_due ON notice (due_at);

UPDATE flashsale_schema SET done = 1 WHERE version = 2;
