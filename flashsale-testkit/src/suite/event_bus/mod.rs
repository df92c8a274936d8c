//! The rules of [`EventSink`] and [`EventSource`], as a pair:
//! every group sees every event, in order, until it keeps its place.

pub mod delivery;

use flashsale_core::event::{EventSink, EventSource};

use crate::Fixture;
use crate::suite::suite;

suite! {
    $
    /// Makes a test of each rule of an event bus: `event_bus_suite!(fixture)`. The fixture's port is a pair of sink and source.
    event_bus_suite = event_bus {
        delivery:
            what_is_published_arrives_as_it_was
            events_arrive_in_the_order_of_publication
            every_group_sees_every_event
            a_delivery_has_no_more_than_asked_for
            a_committed_place_is_kept
            what_was_not_committed_comes_again
            a_rewind_does_not_undo_a_commit
            one_groups_place_is_not_anothers
            a_group_waits_until_there_is_something
            a_dropped_poll_loses_nothing
            an_event_published_twice_is_delivered_at_least_once
            joining_again_keeps_the_place;
    }
}

/// A fixture of event buses: a sink, and the source that brings what it took.
pub trait Buses: Fixture<Port = (Self::Sink, Self::Source)> {
    /// Takes events.
    type Sink: EventSink;
    /// Brings them.
    type Source: EventSource;
}

impl<A: EventSink, B: EventSource, T: Fixture<Port = (A, B)>> Buses for T {
    type Sink = A;
    type Source = B;
}
