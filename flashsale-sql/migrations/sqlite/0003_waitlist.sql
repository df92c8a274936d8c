-- flashsale: the waitlist, on SQLite.
--
-- Run after 0002 by `SqliteLedger::migrate`, or by a tool of your own. Whoever waits for units of an item has a row here; what is offered to
-- him is an order of the same name, in state `offered`.

INSERT INTO flashsale_schema (version, done) VALUES (3, 0);

-- The last number that was given in the line of an item.
ALTER TABLE item ADD COLUMN wished INTEGER NOT NULL DEFAULT 0;

CREATE INDEX item_waiting ON item (sale, id) WHERE waiting = 1;

-- One row per time that a member joined a line, for ever. A member has at most one that waits or is offered for an item.
CREATE TABLE waitlist (
    offer     TEXT NOT NULL PRIMARY KEY, -- its name, and that of the order which an offer of it is
    sale      TEXT NOT NULL,
    item      TEXT NOT NULL,
    number    INTEGER NOT NULL, -- in order of joining; it never changes
    member    TEXT NOT NULL,
    turn      INTEGER NOT NULL, -- how often this member has joined this line
    units     INTEGER NOT NULL CHECK (units >= 1),
    state     TEXT NOT NULL CHECK (state IN ('waiting', 'offered', 'accepted', 'declined', 'lapsed', 'left')),
    why       TEXT, -- why it left
    joined_at INTEGER NOT NULL,
    since     INTEGER NOT NULL,
    gathers   INTEGER, -- since when units are gathered for it
    UNIQUE (sale, item, number),
    UNIQUE (sale, item, member, turn)
) STRICT;

CREATE INDEX waitlist_line ON waitlist (sale, item, number) WHERE state = 'waiting';

CREATE INDEX waitlist_member ON waitlist (member, joined_at, offer);

UPDATE flashsale_schema SET done = 1 WHERE version = 3;
