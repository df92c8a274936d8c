//! The one store of waiting rooms. Every method is one atomic step of the backend, for a whole batch; none has a default body.

use std::fmt::Debug;

use async_trait::async_trait;

use crate::error::BackendError;
use crate::id::{BuyerId, RoomId};
use crate::queue::{Admitted, Enter, Entered, Expired, Levels, Places, RoomChange, Terms};

/// Keeps who waits, in order of arrival, and who has a turn. Fast; **what it loses is lost**, and only tickets bring it back: the
/// promise G10 is that of the store (protocol 3.1). Any number of servers use one room.
///
/// A backend keeps, per room: its terms, its door, the arrivals of the window, `issued` and `serving`, the *line* of places by
/// number, the *early* places that go before it, the turns by their end, and one entry per member: number, when he was last seen, and
/// whether he waits, was passed over, has a turn, or is done. Invariants, at every step:
///
/// - a member has at most one entry, and an entry one number;
/// - the *head* is the smallest of the early places and the line; where two have the same number, the early one goes first;
/// - `waiting` counts the entries in line and early; those who left or were passed over are not among them;
/// - live turns are never more than [`Terms::capacity`], unless it was made smaller.
///
/// Time is the backend's own clock. Where a method says that it *settles the door*, it does what
/// [`Door::settle`](crate::queue::Door::settle) says, and adds one to `edition` if that changes the door.
///
/// Every method but [`RoomStore::open`] and [`RoomStore::forget`] gives `None` if there is no such room: the store is new, or has forgotten it; open it again.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait RoomStore: Debug + Send + Sync {
    /// Begins a room with these terms, unless it is there: then nothing changes. Either way, how it stands.
    ///
    /// The new generation is the backend's time in milliseconds; the door is settled; credit is full ([`Spending::starting`](crate::queue::Spending::starting)).
    /// Terms that [`Terms::check`] refuses are [`ErrorKind::Data`](crate::error::ErrorKind::Data).
    async fn open(&self, room: &RoomId, terms: &Terms) -> Result<Levels, BackendError>;

    /// Changes terms, adds one to `edition`, and settles the door. A change that changes nothing is none.
    ///
    /// Another pace begins without credit ([`Spending::change`](crate::queue::Spending::change)). Terms that would be out of bounds are [`ErrorKind::Data`](crate::error::ErrorKind::Data).
    async fn change(&self, room: &RoomId, change: &RoomChange) -> Result<Option<Levels>, BackendError>;

    /// Counts arrivals and decides *through* or *place*, for each in the order of the batch.
    ///
    /// Settles the door at first. Then for each, the first that applies:
    /// 1. the room is off: through. Before places are given: `TooEarly`. Over: `Over`.
    /// 2. the door is closed: the arrival is counted; it is open from this one on if there are now more than [`Terms::opens_above`], or if
    ///    his ticket proves a loss (an older generation, or a number above `issued` in the room's): there was a line. Else through, whoever
    ///    it is.
    /// 3. he has an entry that is not done: the same place, and he was seen now. One who was passed over is early again, under his number
    ///    ([`Standing::Absent`](crate::queue::Standing::Absent)). A repeat is no arrival.
    /// 4. he has no entry and [`Terms::places_max`] are kept; or `issued - serving` is twice that or more, whoever it is: `Full`.
    /// 5. the arrival is counted, if it was not at 2. He has no entry, and a ticket of the room's generation or an older one: a number above
    ///    `issued` in the room's generation proves a loss, so `issued` jumps to it and he is at the end of the line; any other is an early place.
    /// 6. a new number, `issued + 1`, at the end of the line. An entry that is done (also a turn that has gone by and was not cleared
    ///    away yet: its capacity is free again) is replaced. A ticket of a newer generation is of a line that was lost as a whole: all who
    ///    are here were before it.
    async fn enter(&self, room: &RoomId, batch: &[Enter]) -> Result<Option<Entered>, BackendError>;

    /// Tells where members stand, and takes it as a sign of life.
    ///
    /// One who waits was seen now; one who was passed over is early again, under his number. A turn that has gone by is told as
    /// [`Ended::Passed`](crate::queue::Ended), cleared away or not. `ahead` of one in the line is [`Levels::ahead_of`] his number; of one who is early: the
    /// early ones before him, and (if he is of the room's generation) the numbers of the line between `serving` and his.
    async fn place(&self, room: &RoomId, members: &[BuyerId]) -> Result<Option<Places>, BackendError>;

    /// Gives turns to the head of the line, by rate and by capacity, and looks at no more than `most` places.
    ///
    /// Settles the door at first; if it [admits](crate::queue::Door::admits) nobody, that is all. Credit is [refilled](crate::queue::Spending::refill); then, while
    /// [`Spending::allows`](crate::queue::Spending::allows) another one and somebody is there: a place of the line whose member left is passed; an absentee (not seen for
    /// [`Terms::absent_after`] or longer) is passed over and keeps his number; the other gets a turn of [`Terms::turn`]. Every place passed counts in `served`.
    async fn admit(&self, room: &RoomId, most: usize) -> Result<Option<Admitted>, BackendError>;

    /// Makes live turns longer by [`Terms::turn`], counted from their end, where an extension is left. Tells where the members stand after; one without a live turn
    /// or without an extension left is told as he stands.
    async fn extend(&self, room: &RoomId, members: &[BuyerId]) -> Result<Option<Places>, BackendError>;

    /// Ends turns whose members did what they came for: the capacity is free at once. Tells where the members stand after. Who has no live turn stays as
    /// he is.
    async fn finish(&self, room: &RoomId, members: &[BuyerId]) -> Result<Option<Places>, BackendError>;

    /// Ends the places and turns of members who leave. Tells where they stand after. Who is done stays as he is.
    async fn leave(&self, room: &RoomId, members: &[BuyerId]) -> Result<Option<Places>, BackendError>;

    /// Clears away at most `most` turns that have gone by, in order of their end, and at most `most` places that ended
    /// [`Terms::remembers`] ago or earlier, in order of their end.
    async fn expire(&self, room: &RoomId, most: usize) -> Result<Option<Expired>, BackendError>;

    /// Tells how the room stands. One read.
    async fn levels(&self, room: &RoomId) -> Result<Option<Levels>, BackendError>;

    /// Forgets a room and everybody in it.
    async fn forget(&self, room: &RoomId) -> Result<(), BackendError>;
}
