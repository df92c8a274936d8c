-- flashsale: notices, on PostgreSQL.
--
-- Run after 0001 by `PostgresLedger::migrate`, or by a tool of your own. What members are not told yet has a row here, until it is handed over.

INSERT INTO flashsale_schema (version, done) VALUES (2, 0);

CREATE TABLE notice (
    id     text COLLATE "C" NOT NULL PRIMARY KEY, -- its fixed key
    body   text COLLATE "C" NOT NULL, -- JSON
    tries  bigint NOT NULL,
    due_at bigint NOT NULL
);

CREATE INDEX notice_due ON notice (due_at);

UPDATE flashsale_schema SET done = 1 WHERE version = 2;
