-- flashsale: notices, on MariaDB and MySQL.
--
-- Run after 0001 by `MySqlLedger::migrate`, or by a tool of your own. What members are not told yet has a row here, until it is handed over.

INSERT INTO flashsale_schema (version, done) VALUES (2, 0);

CREATE TABLE notice (
    id     VARBINARY(512) NOT NULL PRIMARY KEY, -- its fixed key
    body   LONGTEXT NOT NULL, -- JSON
    tries  BIGINT NOT NULL,
    due_at BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE INDEX notice_due ON notice (due_at);

UPDATE flashsale_schema SET done = 1 WHERE version = 2;
