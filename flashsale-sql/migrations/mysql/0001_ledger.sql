-- flashsale: the ledger on MariaDB (10.6 or later) and MySQL 8.
--
-- Run by `MySqlLedger::migrate`, or by a tool of your own: plain statements, no placeholders, once, in the database of the session.
-- Ids are VARBINARY: compared byte by byte, also their case and blanks at their end. Times are milliseconds since 1970 in UTC, money is
-- minor units. Hashes, tags and nonces are 64 bits without a sign, stored as the signed number of the same bits.
-- A new version of this schema is a new file beside this one; this one never changes.

-- What was run, by whatever tool. A file writes its number first and says at its end that it is done: half of it is no schema.
CREATE TABLE flashsale_schema (
    version BIGINT NOT NULL PRIMARY KEY,
    done    BIGINT NOT NULL CHECK (done IN (0, 1))
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

INSERT INTO flashsale_schema (version, done) VALUES (1, 0);

-- The lock: one row per sale, read first and written by every transaction that moves its stock.
CREATE TABLE sale (
    id            VARBINARY(255) NOT NULL PRIMARY KEY,
    state         VARCHAR(64) NOT NULL CHECK (state IN ('open', 'paused', 'closed')),
    opens_at      BIGINT NOT NULL,
    closes_at     BIGINT NOT NULL,
    hold_ms       BIGINT NOT NULL,
    pay_within_ms BIGINT NOT NULL,
    v             BIGINT NOT NULL,
    tag           BIGINT NOT NULL,
    epoch         BIGINT NOT NULL DEFAULT 0,
    nonce         BIGINT,
    sealed        BIGINT NOT NULL DEFAULT 0,
    terms         LONGTEXT NOT NULL -- JSON, as first written down: what a repeated opening is compared with
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Every version that a sale's stock ever had; a (v, tag) that is not here was never told by this ledger.
CREATE TABLE sale_version (
    sale VARBINARY(255) NOT NULL,
    v    BIGINT NOT NULL,
    tag  BIGINT NOT NULL,
    at   BIGINT NOT NULL,
    PRIMARY KEY (sale, v)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE item (
    sale        VARBINARY(255) NOT NULL,
    id          VARBINARY(255) NOT NULL,
    total       BIGINT NOT NULL,
    allocated   BIGINT NOT NULL DEFAULT 0,
    price       BIGINT NOT NULL CHECK (price >= 0),
    buyer_limit BIGINT NOT NULL CHECK (buyer_limit >= 1),
    waiting     BIGINT NOT NULL DEFAULT 0 CHECK (waiting IN (0, 1)),
    PRIMARY KEY (sale, id),
    CHECK (allocated >= 0 AND allocated <= total)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- One row per decided id, accepted or refused, for ever. The id is `buyer~key` or `buyer~scope~key`. Rows lie in order of writing: in
-- order of id, which is none of time, each would split a page of its own.
CREATE TABLE orders (
    no         BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    id         VARBINARY(255) NOT NULL UNIQUE,
    sale       VARBINARY(255) NOT NULL,
    buyer      VARBINARY(255) GENERATED ALWAYS AS (SUBSTRING_INDEX(id, '~', 1)) STORED,
    hash       BIGINT NOT NULL,
    state      VARCHAR(64) NOT NULL,
    reason     VARCHAR(64),
    stuck      TEXT,
    ver        BIGINT NOT NULL,
    v          BIGINT NOT NULL, -- the sale's version at its last change of units
    live       BIGINT NOT NULL CHECK (live IN (0, 1)), -- whether its units are allocated
    hold_epoch BIGINT,
    hold_no    BIGINT,
    `lines`    TEXT NOT NULL, -- `item*units`, joined by blanks: what was asked for, whatever became of it
    list       BIGINT NOT NULL,
    discount   BIGINT NOT NULL,
    pays       BIGINT NOT NULL,
    coupon     VARBINARY(255),
    method     VARBINARY(255),
    note       TEXT,
    decided_at BIGINT NOT NULL,
    since      BIGINT NOT NULL,
    pay_by     BIGINT,
    due_at     BIGINT,
    tries      BIGINT NOT NULL DEFAULT 0,
    action     TEXT
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE INDEX orders_version ON orders (sale, v);
-- What a buyer has is counted by his live orders.
CREATE INDEX orders_live ON orders (buyer, sale, live);
CREATE INDEX orders_due ON orders (due_at, id);
CREATE INDEX orders_stuck ON orders (stuck(16));

-- The units of orders that were accepted. A refused order has none; one that gave its units back has dead ones.
CREATE TABLE line (
    sale     VARBINARY(255) NOT NULL,
    v        BIGINT NOT NULL, -- the sale's version at which they were allocated
    order_id VARBINARY(255) NOT NULL,
    item     VARBINARY(255) NOT NULL,
    buyer    VARBINARY(255) GENERATED ALWAYS AS (SUBSTRING_INDEX(order_id, '~', 1)) VIRTUAL, -- for readers
    units    BIGINT NOT NULL CHECK (units >= 1),
    live     BIGINT NOT NULL CHECK (live IN (0, 1)),
    PRIMARY KEY (sale, v, order_id, item)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Facts, written by the transactions that made them true. Sent ones are the history of their subject until pruned.
CREATE TABLE outbox (
    no      BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, -- in order of writing, which is not the order of commits
    subject VARBINARY(255) NOT NULL,
    version BIGINT NOT NULL,
    kind    VARBINARY(64) NOT NULL,
    sale    VARBINARY(255),
    topic   VARCHAR(64) NOT NULL,
    at      BIGINT NOT NULL,
    fact    LONGTEXT NOT NULL, -- JSON
    sent    BIGINT NOT NULL DEFAULT 0 CHECK (sent IN (0, 1)),
    UNIQUE (subject, version, kind)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE INDEX outbox_unsent ON outbox (sent, no);

-- Changes of terms, once per id.
CREATE TABLE `change` (
    sale    VARBINARY(255) NOT NULL,
    id      VARBINARY(255) NOT NULL,
    content LONGTEXT NOT NULL, -- JSON
    at      BIGINT NOT NULL,
    PRIMARY KEY (sale, id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE campaign (
    id    VARBINARY(255) NOT NULL PRIMARY KEY,
    terms LONGTEXT NOT NULL -- JSON
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Issued coupons; the id is `campaign~window~member`.
CREATE TABLE coupon (
    id         VARBINARY(255) NOT NULL PRIMARY KEY,
    campaign   VARBINARY(255) NOT NULL,
    `window`   VARBINARY(255) NOT NULL,
    member     VARBINARY(255) NOT NULL,
    takes_off  BIGINT NOT NULL CHECK (takes_off >= 0),
    from_total BIGINT NOT NULL CHECK (from_total >= 0),
    only_with  VARBINARY(255),
    expires_at BIGINT NOT NULL,
    used_by    VARBINARY(255), -- the order or trade that uses it
    UNIQUE (member, campaign, `window`)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Balances. Only the account `platform`, which funds coupons, may be in debt.
CREATE TABLE wallet (
    member  VARBINARY(255) NOT NULL PRIMARY KEY,
    balance BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Every transaction that moves money locks this account, so there must be one.
INSERT INTO wallet (member, balance) VALUES ('platform', 0);

CREATE TABLE wallet_entry (
    no      BIGINT PRIMARY KEY, -- counted on under the lock of the account `platform`
    member  VARBINARY(255) NOT NULL,
    kind    VARBINARY(64) NOT NULL,
    amount  BIGINT NOT NULL,
    balance BIGINT NOT NULL, -- after it; never below zero: an account in debt shows nothing
    cause   VARBINARY(255) NOT NULL,
    at      BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE INDEX wallet_entry_member ON wallet_entry (member, no);

-- What a request to a wallet did, once per id.
CREATE TABLE wallet_request (
    id           VARBINARY(255) NOT NULL PRIMARY KEY,
    content      LONGTEXT NOT NULL, -- JSON
    balance      BIGINT NOT NULL,
    buyer_pays   BIGINT NOT NULL,
    seller_gets  BIGINT NOT NULL,
    funded       BIGINT NOT NULL,
    at           BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- What became of a payment key. Money of an `approved` one waits for its capture: it is neither the buyer's nor the seller's.
CREATE TABLE payment (
    order_id    VARBINARY(255) NOT NULL,
    attempt     BIGINT NOT NULL,
    state       VARCHAR(64) NOT NULL CHECK (state IN ('approved', 'captured', 'refunded', 'declined', 'fenced')),
    buyer       VARBINARY(255),
    amount      BIGINT,
    reason      VARCHAR(64),
    seller      VARBINARY(255),
    seller_gets BIGINT,
    funded      BIGINT,
    at          BIGINT NOT NULL,
    PRIMARY KEY (order_id, attempt)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE dead_letter (
    no       BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    consumer VARBINARY(255) NOT NULL,
    event_id VARBINARY(512) NOT NULL,
    reason   TEXT NOT NULL,
    tries    BIGINT NOT NULL,
    at       BIGINT NOT NULL,
    event    LONGTEXT NOT NULL, -- JSON
    settled  VARCHAR(64) CHECK (settled IN ('replayed', 'discarded')),
    UNIQUE (consumer, event_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE INDEX dead_letter_open ON dead_letter (settled, at, no);

UPDATE flashsale_schema SET done = 1 WHERE version = 1;
