-- flashsale: the ledger on SQLite.
--
-- Run by `SqliteLedger::migrate`, or by a tool of your own: plain statements, no placeholders, once.
-- Text is compared byte by byte (collation BINARY, the default). Times are milliseconds since 1970 in UTC, money is minor
-- units. Hashes, tags and nonces are 64 bits without a sign, stored as the signed number of the same bits.
-- A new version of this schema is a new file beside this one; this one never changes.

-- What was run, by whatever tool. A file writes its number first and says at its end that it is done: half of it is no schema.
CREATE TABLE flashsale_schema (
    version INTEGER NOT NULL PRIMARY KEY,
    done    INTEGER NOT NULL CHECK (done IN (0, 1))
) STRICT;

INSERT INTO flashsale_schema (version, done) VALUES (1, 0);

-- The lock: one row per sale, read first and written by every transaction that moves its stock.
CREATE TABLE sale (
    id            TEXT    NOT NULL PRIMARY KEY,
    state         TEXT    NOT NULL CHECK (state IN ('open', 'paused', 'closed')),
    opens_at      INTEGER NOT NULL,
    closes_at     INTEGER NOT NULL,
    hold_ms       INTEGER NOT NULL,
    pay_within_ms INTEGER NOT NULL,
    v             INTEGER NOT NULL,
    tag           INTEGER NOT NULL,
    epoch         INTEGER NOT NULL DEFAULT 0,
    nonce         INTEGER,
    sealed        INTEGER NOT NULL DEFAULT 0,
    terms         TEXT    NOT NULL -- JSON, as first written down: what a repeated opening is compared with
) STRICT, WITHOUT ROWID;

-- Every version that a sale's stock ever had; a (v, tag) that is not here was never told by this ledger.
CREATE TABLE sale_version (
    sale TEXT    NOT NULL REFERENCES sale (id),
    v    INTEGER NOT NULL,
    tag  INTEGER NOT NULL,
    at   INTEGER NOT NULL,
    PRIMARY KEY (sale, v)
) STRICT, WITHOUT ROWID;

CREATE TABLE item (
    sale        TEXT    NOT NULL REFERENCES sale (id),
    id          TEXT    NOT NULL,
    total       INTEGER NOT NULL,
    allocated   INTEGER NOT NULL DEFAULT 0,
    price       INTEGER NOT NULL CHECK (price >= 0),
    buyer_limit INTEGER NOT NULL CHECK (buyer_limit >= 1),
    waiting     INTEGER NOT NULL DEFAULT 0 CHECK (waiting IN (0, 1)),
    PRIMARY KEY (sale, id),
    CHECK (allocated >= 0 AND allocated <= total)
) STRICT, WITHOUT ROWID;

-- One row per decided id, accepted or refused, for ever. The id is `buyer~key` or `buyer~scope~key`, so the orders of a buyer
-- stand together: between `buyer~` and `buyer` followed by the character after `~`. That is how his units are counted, too.
-- The key of the ids is the one tree into which a sale writes in no order, so it is kept thin: the rows themselves stand in order
-- of decision (no WITHOUT ROWID), and what is decided together is also changed together. All other trees grow at their end.
CREATE TABLE orders (
    id         TEXT    NOT NULL PRIMARY KEY,
    sale       TEXT    NOT NULL,
    buyer      TEXT    GENERATED ALWAYS AS (substr(id, 1, instr(id, '~') - 1)) VIRTUAL,
    hash       INTEGER NOT NULL,
    state      TEXT    NOT NULL,
    reason     TEXT,
    stuck      TEXT,
    ver        INTEGER NOT NULL,
    v          INTEGER NOT NULL, -- the sale's version at its last change of units
    live       INTEGER NOT NULL CHECK (live IN (0, 1)), -- whether its units are allocated
    hold_epoch INTEGER,
    hold_no    INTEGER,
    lines      TEXT    NOT NULL, -- `item*units`, joined by blanks: what was asked for, whatever became of it
    list       INTEGER NOT NULL,
    discount   INTEGER NOT NULL,
    pays       INTEGER NOT NULL,
    coupon     TEXT,
    method     TEXT,
    note       TEXT,
    decided_at INTEGER NOT NULL,
    since      INTEGER NOT NULL,
    pay_by     INTEGER,
    due_at     INTEGER,
    tries      INTEGER NOT NULL DEFAULT 0,
    action     TEXT,
    told       INTEGER -- the row of the outbox that tells its acceptance
) STRICT;

CREATE INDEX orders_version ON orders (sale, v);
CREATE INDEX orders_due ON orders (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX orders_stuck ON orders (id) WHERE stuck IS NOT NULL;

-- The units of orders that were accepted. A refused order has none; one that gave its units back has dead ones.
CREATE TABLE line (
    sale     TEXT    NOT NULL,
    v        INTEGER NOT NULL, -- the sale's version at which they were allocated
    order_id TEXT    NOT NULL,
    item     TEXT    NOT NULL,
    buyer    TEXT    GENERATED ALWAYS AS (substr(order_id, 1, instr(order_id, '~') - 1)) VIRTUAL,
    units    INTEGER NOT NULL CHECK (units >= 1),
    live     INTEGER NOT NULL CHECK (live IN (0, 1)),
    PRIMARY KEY (sale, v, order_id, item)
) STRICT, WITHOUT ROWID;

-- Facts, written by the transactions that made them true. Sent ones are the history of their subject until pruned.
CREATE TABLE outbox (
    no      INTEGER PRIMARY KEY AUTOINCREMENT, -- never given twice, also when all rows were pruned
    subject TEXT    NOT NULL,
    version INTEGER NOT NULL,
    kind    TEXT    NOT NULL,
    sale    TEXT,
    topic   TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    fact    TEXT    NOT NULL, -- JSON
    sent    INTEGER NOT NULL DEFAULT 0 CHECK (sent IN (0, 1)),
    keyed   INTEGER NOT NULL DEFAULT 1 CHECK (keyed IN (0, 1)) -- 0: found by orders.told, and as unique as the order is
) STRICT;

CREATE UNIQUE INDEX outbox_event ON outbox (subject, version, kind) WHERE keyed = 1;
CREATE INDEX outbox_unsent ON outbox (sent) WHERE sent = 0;

-- Changes of terms, once per id.
CREATE TABLE change (
    sale    TEXT    NOT NULL REFERENCES sale (id),
    id      TEXT    NOT NULL,
    content TEXT    NOT NULL, -- JSON
    at      INTEGER NOT NULL,
    PRIMARY KEY (sale, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE campaign (
    id    TEXT NOT NULL PRIMARY KEY,
    terms TEXT NOT NULL -- JSON
) STRICT, WITHOUT ROWID;

-- Issued coupons; the id is `campaign~window~member`.
CREATE TABLE coupon (
    id         TEXT    NOT NULL PRIMARY KEY,
    campaign   TEXT    NOT NULL,
    "window"   TEXT    NOT NULL,
    member     TEXT    NOT NULL,
    takes_off  INTEGER NOT NULL CHECK (takes_off >= 0),
    from_total INTEGER NOT NULL CHECK (from_total >= 0),
    only_with  TEXT,
    expires_at INTEGER NOT NULL,
    used_by    TEXT, -- the order or trade that uses it
    UNIQUE (member, campaign, "window")
) STRICT, WITHOUT ROWID;

-- Balances. Only the account `platform`, which funds coupons, may be in debt.
CREATE TABLE wallet (
    member  TEXT    NOT NULL PRIMARY KEY,
    balance INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE wallet_entry (
    no      INTEGER PRIMARY KEY AUTOINCREMENT, -- never given twice, also when all rows were pruned
    member  TEXT    NOT NULL,
    kind    TEXT    NOT NULL,
    amount  INTEGER NOT NULL,
    balance INTEGER NOT NULL, -- after it; never below zero: an account in debt shows nothing
    cause   TEXT    NOT NULL,
    at      INTEGER NOT NULL
) STRICT;

CREATE INDEX wallet_entry_member ON wallet_entry (member, no);

-- What a request to a wallet did, once per id.
CREATE TABLE wallet_request (
    id           TEXT    NOT NULL PRIMARY KEY,
    content      TEXT    NOT NULL, -- JSON
    balance      INTEGER NOT NULL,
    buyer_pays   INTEGER NOT NULL,
    seller_gets  INTEGER NOT NULL,
    funded       INTEGER NOT NULL,
    at           INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What became of a payment key. Money of an `approved` one waits for its capture: it is neither the buyer's nor the seller's.
CREATE TABLE payment (
    order_id    TEXT    NOT NULL,
    attempt     INTEGER NOT NULL,
    state       TEXT    NOT NULL CHECK (state IN ('approved', 'captured', 'refunded', 'declined', 'fenced')),
    buyer       TEXT,
    amount      INTEGER,
    reason      TEXT,
    seller      TEXT,
    seller_gets INTEGER,
    funded      INTEGER,
    at          INTEGER NOT NULL,
    PRIMARY KEY (order_id, attempt)
) STRICT, WITHOUT ROWID;

CREATE TABLE dead_letter (
    no       INTEGER PRIMARY KEY,
    consumer TEXT    NOT NULL,
    event_id TEXT    NOT NULL,
    reason   TEXT    NOT NULL,
    tries    INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    event    TEXT    NOT NULL, -- JSON
    settled  TEXT CHECK (settled IN ('replayed', 'discarded')),
    UNIQUE (consumer, event_id)
) STRICT;

CREATE INDEX dead_letter_open ON dead_letter (at) WHERE settled IS NULL;

UPDATE flashsale_schema SET done = 1 WHERE version = 1;
