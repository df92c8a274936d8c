-- flashsale: the waitlist, on MariaDB and MySQL.
--
-- Run after 0002 by `MySqlLedger::migrate`, or by a tool of your own. Whoever waits for units of an item has a row here; what is offered to
-- him is an order of the same name, in state `offered`.

INSERT INTO flashsale_schema (version, done) VALUES (3, 0);

-- The last number that was given in the line of an item.
ALTER TABLE item ADD COLUMN wished BIGINT NOT NULL DEFAULT 0;

CREATE INDEX item_waiting ON item (waiting, sale, id);

-- One row per time that a member joined a line, for ever. A member has at most one that waits or is offered for an item.
CREATE TABLE waitlist (
    offer     VARBINARY(255) NOT NULL PRIMARY KEY, -- its name, and that of the order which an offer of it is
    sale      VARBINARY(255) NOT NULL,
    item      VARBINARY(255) NOT NULL,
    number    BIGINT NOT NULL, -- in order of joining; it never changes
    member    VARBINARY(255) NOT NULL,
    turn      BIGINT NOT NULL, -- how often this member has joined this line
    units     BIGINT NOT NULL CHECK (units >= 1),
    state     VARCHAR(64) NOT NULL CHECK (state IN ('waiting', 'offered', 'accepted', 'declined', 'lapsed', 'left')),
    why       VARCHAR(64), -- why it left
    joined_at BIGINT NOT NULL,
    since     BIGINT NOT NULL,
    gathers   BIGINT, -- since when units are gathered for it
    UNIQUE (sale, item, number),
    UNIQUE (sale, item, member, turn)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE INDEX waitlist_line ON waitlist (state, sale, item, number);

CREATE INDEX waitlist_member ON waitlist (member, joined_at, offer);

UPDATE flashsale_schema SET done = 1 WHERE version = 3;
