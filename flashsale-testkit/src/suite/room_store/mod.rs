//! The rules of [`RoomStore`]: who gets which place, who gets a turn and when, and what a ticket brings back.

pub mod admit;
pub mod door;
pub mod enter;
pub mod terms;
pub mod ticket;
pub mod turn;

use std::time::Duration;

use flashsale_core::queue::{
    Admitted, Enter, Entry, Expired, Generation, Levels, Number, Pace, Place, RoomChange, RoomStore, Standing, Terms,
    Turn,
};
use flashsale_core::{BuyerId, RoomId};

use crate::Fixture;
use crate::sample::buyer;
use crate::suite::suite;

suite! {
    $
    /// Makes a test of each rule of a room store: `room_store_suite!(fixture)`.
    room_store_suite = room_store {
        door:
            everybody_is_through_while_the_room_is_closed
            more_arrivals_than_allowed_open_the_room_within_a_batch
            arrivals_of_several_batches_count_together
            arrivals_on_both_sides_of_any_edge_count_together
            arrivals_before_the_window_do_not_count
            a_repeat_is_no_arrival
            between_the_thresholds_the_room_stays_open
            it_closes_when_few_arrive_and_nobody_waits
            it_stays_open_while_somebody_waits
            a_held_room_gives_places_and_admits_nobody
            a_room_that_is_off_is_out_of_the_way
            places_survive_that_the_room_was_off
            before_its_time_the_room_gives_no_places
            before_the_beginning_places_are_given_and_nobody_goes_in
            after_the_end_nobody_comes_in
            every_turn_of_the_door_is_an_edition;
        enter:
            places_are_numbered_in_order_of_arrival
            a_repeated_join_keeps_the_place
            a_repeat_in_the_same_batch_keeps_the_place
            members_are_compared_byte_by_byte
            rooms_do_not_share_numbers
            ahead_is_how_many_go_before
            a_full_room_gives_no_new_place
            who_has_a_turn_keeps_it_when_he_joins_again
            who_is_done_begins_at_the_end
            whose_turn_went_by_begins_at_the_end
            at_once_no_number_is_given_twice
            an_empty_batch_has_no_answers
            a_stranger_has_no_place
            asking_changes_no_place;
        admit:
            turns_are_given_in_order_of_arrival
            never_more_turns_than_the_capacity
            never_more_in_any_second_than_the_rate
            a_pause_saves_no_crowd
            passes_that_run_in_time_reach_the_rate
            at_once_several_passes_stay_within_rate_and_capacity
            who_left_is_passed_and_takes_no_turn
            who_left_is_counted_until_the_line_has_passed_him
            an_absentee_is_passed_over_and_blocks_nobody
            an_absentee_who_is_back_goes_first_under_his_number
            absentees_who_are_back_keep_their_order
            an_absentee_who_joins_again_keeps_his_number
            asking_is_a_sign_of_life
            who_is_back_is_counted_before_the_line
            a_step_looks_at_no_more_than_it_may
            a_step_says_when_the_next_may_do_something
            the_line_is_measured_as_it_moves;
        turn:
            a_turn_ends_at_its_time
            a_turn_that_went_by_frees_its_capacity_when_cleared_away
            turns_are_cleared_away_in_order_of_their_end
            an_extension_moves_the_end_as_often_as_allowed
            a_turn_that_went_by_is_not_made_longer
            finishing_frees_the_capacity_at_once
            a_second_finish_frees_nothing
            who_waits_cannot_finish
            who_leaves_gives_his_turn_back
            leaving_twice_is_leaving_once
            an_ended_place_is_forgotten_in_time
            a_place_that_goes_on_is_never_forgotten;
        ticket:
            the_ticket_of_a_known_member_is_not_looked_at
            a_ticket_above_the_counter_makes_it_jump
            a_lost_place_goes_before_later_numbers
            of_two_with_one_number_the_earlier_goes_first
            older_generations_go_first_in_their_order
            a_newer_generation_is_at_the_end
            a_ticket_of_a_lost_line_opens_the_room
            a_ticket_of_this_line_opens_nothing
            after_a_restart_tickets_bring_the_order_back;
        terms:
            a_room_that_was_never_opened_is_unknown
            opening_again_changes_nothing
            terms_out_of_bounds_are_refused
            a_change_is_made_and_told
            a_change_of_nothing_is_none
            a_smaller_capacity_runs_out
            another_pace_begins_without_credit
            a_forgotten_room_is_unknown_and_its_next_life_is_newer;
    }
}

/// A fixture of room stores.
pub trait Rooms: Fixture<Port: RoomStore> {}
impl<T: Fixture<Port: RoomStore>> Rooms for T {}

/// Terms of a room that is open from its first arrival on, and admits as many as one wants: a rule narrows what it is about.
pub(crate) fn wide() -> Terms {
    Terms {
        opens_above: 0,
        closes_below: 0,
        within: Duration::from_secs(1),
        pace: Pace { admits: 1_000_000, per: Duration::from_secs(1) },
        capacity: 1_000,
        turn: Duration::from_secs(60),
        extensions: 1,
        absent_after: Duration::from_secs(600),
        remembers: Duration::from_secs(3_600),
        ..Terms::default()
    }
}

/// A room under test.
pub(crate) struct Room<P> {
    pub(crate) store: P,
    pub(crate) room: RoomId,
}

/// A fresh store with a room of these terms.
pub(crate) async fn opened<F: Rooms>(fixture: &F, terms: &Terms) -> Room<F::Port> {
    let room = Room { store: fixture.fresh().await, room: RoomId::new("drop").expect("a room's name") };
    room.store.open(&room.room, terms).await.expect("open");
    room
}

fn names(text: &str) -> Vec<BuyerId> {
    text.split_whitespace().map(buyer).collect()
}

impl<P: RoomStore> Room<P> {
    pub(crate) async fn batch(&self, batch: &[Enter]) -> Vec<Entry> {
        let entered = self.store.enter(&self.room, batch).await.expect("enter").expect("the room is open");
        assert_eq!(entered.answers.len(), batch.len(), "one answer per request");
        entered.answers
    }

    /// These enter, in one batch.
    pub(crate) async fn enter(&self, who: &str) -> Vec<Entry> {
        let batch: Vec<Enter> = names(who).into_iter().map(|member| Enter { member, ticket: None }).collect();
        self.batch(&batch).await
    }

    /// One enters with a ticket.
    pub(crate) async fn enter_with(&self, who: &str, generation: Generation, no: u64) -> Entry {
        let ticket = Some(Number { generation, no });
        self.batch(&[Enter { member: buyer(who), ticket }]).await.remove(0)
    }

    /// These enter, and get places; their numbers.
    pub(crate) async fn join(&self, who: &str) -> Vec<u64> {
        self.enter(who).await.iter().map(|entry| placed(entry).number.no).collect()
    }

    pub(crate) async fn places(&self, who: &str) -> Vec<Option<Place>> {
        let members = names(who);
        let told = self.store.place(&self.room, &members).await.expect("place").expect("the room is open");
        assert_eq!(told.places.len(), members.len(), "one answer per member");
        told.places
    }

    /// Where one stands.
    pub(crate) async fn stands(&self, who: &str) -> Standing {
        self.places(who).await[0].expect("he has a place").standing
    }

    /// How many go before one who waits.
    pub(crate) async fn ahead(&self, who: &str) -> u64 {
        match self.stands(who).await {
            Standing::Waiting { ahead } | Standing::Absent { ahead } => ahead,
            other => panic!("{who} does not wait: {other:?}"),
        }
    }

    pub(crate) async fn turn(&self, who: &str) -> Turn {
        match self.stands(who).await {
            Standing::Turn(turn) => turn,
            other => panic!("{who} has no turn: {other:?}"),
        }
    }

    /// Whose turn it is, of these.
    pub(crate) async fn turns(&self, who: &str) -> Vec<String> {
        let places = self.places(who).await;
        let turns = who.split_whitespace().zip(places).filter(|(_, place)| {
            let standing = place.expect("he has a place").standing;
            matches!(standing, Standing::Turn(_))
        });
        turns.map(|(who, _)| who.to_owned()).collect()
    }

    pub(crate) async fn admit(&self) -> Admitted {
        self.store.admit(&self.room, 1_000).await.expect("admit").expect("the room is open")
    }

    /// Lets people through until `count` more have a turn.
    pub(crate) async fn let_in(&self, count: u32) {
        let before = self.levels().await.terms.capacity;
        let turns = self.levels().await.turns;
        self.change(RoomChange { capacity: Some(turns + count), ..RoomChange::default() }).await;
        assert_eq!(self.admit().await.admitted, count);
        self.change(RoomChange { capacity: Some(before), ..RoomChange::default() }).await;
    }

    pub(crate) async fn finish(&self, who: &str) -> Standing {
        let told = self.store.finish(&self.room, &names(who)).await.expect("finish").expect("the room is open");
        told.places[0].expect("he has a place").standing
    }

    pub(crate) async fn leave(&self, who: &str) -> Standing {
        let told = self.store.leave(&self.room, &names(who)).await.expect("leave").expect("the room is open");
        told.places[0].expect("he has a place").standing
    }

    pub(crate) async fn extend(&self, who: &str) -> Standing {
        let told = self.store.extend(&self.room, &names(who)).await.expect("extend").expect("the room is open");
        told.places[0].expect("he has a place").standing
    }

    pub(crate) async fn expire(&self) -> Expired {
        self.store.expire(&self.room, 1_000).await.expect("expire").expect("the room is open")
    }

    pub(crate) async fn levels(&self) -> Levels {
        self.store.levels(&self.room).await.expect("levels").expect("the room is open")
    }

    pub(crate) async fn change(&self, change: RoomChange) -> Levels {
        self.store.change(&self.room, &change).await.expect("change").expect("the room is open")
    }
}

/// The place of an entry.
pub(crate) fn placed(entry: &Entry) -> Place {
    match entry {
        Entry::New(place) | Entry::Same(place) => *place,
        other => panic!("no place: {other:?}"),
    }
}
