-- flashsale: the waitlist, on PostgreSQL.
--
-- Run after 0002 by `PostgresLedger::migrate`, or by a tool of your own. Whoever waits for units of an item has a row here; what is offered to
-- him is an order of the same name, in state `offered`.

INSERT INTO flashsale_schema (version, done) VALUES (3, 0);

-- The last number that was given in the line of an item.
ALTER TABLE item ADD COLUMN wished bigint NOT NULL DEFAULT 0;

CREATE INDEX item_waiting ON item (sale, id) WHERE waiting = 1;

-- One row per time that a member joined a line, for ever. A member has at most one that waits or is offered for an item.
CREATE TABLE waitlist (
    offer     text COLLATE "C" NOT NULL PRIMARY KEY, -- its name, and that of the order which an offer of it is
    sale      text COLLATE "C" NOT NULL,
    item      text COLLATE "C" NOT NULL,
    number    bigint NOT NULL, -- in order of joining; it never changes
    member    text COLLATE "C" NOT NULL,
    turn      bigint NOT NULL, -- how often this member has joined this line
    units     bigint NOT NULL CHECK (units >= 1),
    state     text COLLATE "C" NOT NULL CHECK (state IN ('waiting', 'offered', 'accepted', 'declined', 'lapsed', 'left')),
    why       text COLLATE "C", -- why it left
    joined_at bigint NOT NULL,
    since     bigint NOT NULL,
    gathers   bigint, -- since when units are gathered for it
    UNIQUE (sale, item, number),
    UNIQUE (sale, item, member, turn)
);

CREATE INDEX waitlist_line ON waitlist (sale, item, number) WHERE state = 'waiting';

CREATE INDEX waitlist_member ON waitlist (member, joined_at, offer);

UPDATE flashsale_schema SET done = 1 WHERE version = 3;
