//! The rules of [`WaitlistLedger`]: who waits, in which order; the flag that closes an item to the public; offers that are orders
//! (protocol 1.4, step 9; I7).

pub mod join;
pub mod leave;
pub mod offer;
pub mod read;

use std::sync::Arc;

use flashsale_core::event::Outbox;
use flashsale_core::order::{Append, Input, Policy, Verdict, step};
use flashsale_core::stock::{Accept, Acceptance, Order, Then, Update};
use flashsale_core::waitlist::{
    Join, JoinRefusal, Joined, Leave, Left, Line, Parting, Place, WaitlistLedger, Wish, WishState,
};
use flashsale_core::{ItemId, OrderId, Sale};

use crate::Fixture;
use crate::sample::{PAY_WITHIN, accept, buyer, item, sale, units};
use crate::suite::stock_ledger::Open;
use crate::suite::suite;

suite! {
    $
    /// Makes a test of each rule of a waitlist ledger: `waitlist_ledger_suite!(fixture)`.
    waitlist_ledger_suite = waitlist_ledger {
        join:
            a_wish_joins_at_the_end_of_the_line
            the_first_wish_closes_the_item_to_the_public
            a_second_wish_is_no_version
            a_member_has_one_open_wish_for_an_item
            units_that_anybody_can_buy_are_not_waited_for
            fewer_units_than_wanted_are_waited_for
            a_wish_above_the_limit_is_refused
            a_sale_that_is_over_has_no_waitlist
            what_is_not_there_is_not_waited_for
            who_left_joins_again_at_the_end_under_another_name
            a_follower_is_told_that_people_wait
            without_a_gate_the_ledger_refuses_the_public
            a_join_and_a_return_at_once_leave_nobody_beside_a_free_unit
            members_who_join_at_once_have_numbers_of_their_own
            a_wish_is_told_as_a_fact;
        leave:
            the_last_wish_that_leaves_opens_the_item
            those_who_wait_on_keep_the_item_closed
            leaving_again_changes_nothing
            an_offered_wish_does_not_leave
            a_wish_of_another_sale_is_unknown
            a_sale_that_is_over_ends_its_lines
            a_sale_that_goes_on_keeps_its_lines;
        offer:
            an_offer_is_an_order_with_its_units_allocated
            an_offer_is_made_once
            one_unit_is_offered_to_one
            an_offer_that_nobody_waits_for_is_not_made
            a_refused_offer_leaves_the_wish_where_it_was
            an_offer_keeps_the_limit
            the_last_offer_opens_the_item
            ten_offers_are_one_version
            a_unit_that_comes_back_is_not_visible_to_the_public
            a_taken_offer_moves_no_unit
            a_taken_offer_has_no_number_in_the_payment_line
            a_declined_offer_gives_its_units_back_to_the_line
            an_offer_lapses_from_the_moment_at_which_it_was_told
            an_offer_that_nobody_could_be_told_of_is_stuck
            an_offer_that_an_operator_undid_has_ended_its_wish
            every_step_of_a_wish_is_told_once
            a_durable_ledger_keeps_wishes;
        read:
            the_front_is_the_first_and_those_for_whom_the_units_suffice
            a_line_tells_what_its_members_have
            gathering_is_noted_once
            what_is_sought_is_listed_in_order
            a_place_counts_those_before_it
            wishes_of_a_member_come_latest_first;
    }
}

/// A fixture of waitlist ledgers, with the outbox of their database.
pub trait Waitlists: Fixture<Port: WaitlistLedger + Outbox> {}
impl<T: Fixture<Port: WaitlistLedger + Outbox>> Waitlists for T {}

/// Terms of two items, of which each buyer may have three.
pub(crate) fn terms(left: u64, right: u64) -> Sale {
    sale("drop", &[("left", left, 100, 3), ("right", right, 100, 3)])
}

/// A ledger whose `left` is sold out to `seller~n`, one unit each.
pub(crate) async fn sold_out<F: Waitlists>(fixture: &F, total: u64) -> Open<F::Port> {
    let open = crate::suite::stock_ledger::opened(fixture, &terms(total, 5)).await;
    for n in 0..total {
        open.take(accept(&format!("seller-{n}~k"), &[("left", 1)])).await;
    }
    open
}

/// Asks for a place in the line of `left`.
pub(crate) fn join(member: &str, n: u64) -> Join {
    Join { item: item("left"), member: buyer(member), units: units(n) }
}

/// Asks for an offer to this wish.
pub(crate) fn offer(wish: &Wish) -> Accept {
    let lines = [(wish.item.as_str(), u64::from(wish.units.units()))];
    Accept { then: Then::Offer { tell_within: PAY_WITHIN }, ..accept(wish.offer.as_str(), &lines) }
}

impl<P: WaitlistLedger + Outbox> Open<P> {
    pub(crate) async fn joins(&self, batch: &[Join]) -> (Vec<Joined>, Option<Update>) {
        let (answers, update) = self.ledger.join(&self.sale, batch).await.expect("join");
        assert_eq!(answers.len(), batch.len(), "one answer per request");
        (answers, update)
    }

    /// Joins, and must be let in.
    pub(crate) async fn wish(&self, member: &str, n: u64) -> Wish {
        match self.joins(&[join(member, n)]).await.0.remove(0) {
            Joined::Done(wish) => wish,
            other => panic!("not on the waitlist: {other:?}"),
        }
    }

    /// Joins, and must be refused.
    pub(crate) async fn refused(&self, ask: Join) -> JoinRefusal {
        match self.joins(&[ask]).await.0.remove(0) {
            Joined::Refused(refusal) => refusal,
            other => panic!("not refused: {other:?}"),
        }
    }

    pub(crate) async fn leaves(&self, wishes: &[&Wish]) -> (Vec<Left>, Option<Update>) {
        let batch: Vec<Leave> =
            wishes.iter().map(|wish| Leave { offer: wish.offer.clone(), why: Parting::Member }).collect();
        self.ledger.leave(&self.sale, &batch).await.expect("leave")
    }

    /// Gives units of `left` back, by undoing what `seller~n` bought.
    pub(crate) async fn units_return(&self, sellers: std::ops::Range<u64>) {
        let ids: Vec<String> = sellers.map(|n| format!("seller-{n}~k")).collect();
        self.cancels(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }

    /// Offers, and it must be made.
    pub(crate) async fn offered(&self, wish: &Wish) -> Arc<Order> {
        match self.ask(offer(wish)).await {
            Acceptance::Decided(order) => order,
            other => panic!("not offered: {other:?}"),
        }
    }

    pub(crate) async fn front(&self, limit: usize) -> Line {
        self.ledger.line(&self.sale, &item("left"), limit).await.expect("line").expect("the item is there")
    }

    pub(crate) async fn place_of(&self, member: &str) -> Option<Place> {
        self.ledger.place(&self.sale, &item("left"), &buyer(member)).await.expect("place")
    }

    /// The state of a member's latest wish for `left`.
    pub(crate) async fn stands(&self, member: &str) -> WishState {
        self.place_of(member).await.expect("he wished").wish.state
    }

    pub(crate) async fn waits(&self, name: &str) -> bool {
        self.row(name).await.waiting
    }

    /// Drives an order with an input, which must move it.
    pub(crate) async fn drive(&self, id: &OrderId, input: impl Fn(&Order) -> Input) -> (Arc<Order>, Option<Update>) {
        let (rows, now) = self.ledger.load(std::slice::from_ref(id)).await.expect("load");
        let row = rows.into_iter().next().flatten().expect("the order is there");
        let Verdict::Move(append) = step(Some(&row), &input(&row), now, &Policy::default()) else {
            panic!("{} does not move from {}", row.id, row.state.code())
        };
        let batch: [Append; 1] = [*append];
        let (_, update) = self.ledger.append(&self.sale, &batch).await.expect("append");
        let (rows, _) = self.ledger.load(std::slice::from_ref(id)).await.expect("load");
        (rows.into_iter().next().flatten().expect("it is there"), update)
    }

    /// The kinds of the facts about this order or wish, in order of version.
    pub(crate) async fn told_of(&self, id: &OrderId) -> Vec<&'static str> {
        let history = self.ledger.history(id.as_str()).await.expect("history");
        history.iter().map(|event| event.fact.kind()).collect()
    }

    /// How often it was told that units of `left` are for sale again.
    pub(crate) async fn told_available(&self) -> usize {
        let facts = self.ledger.history(&format!("{}/left", self.sale)).await.expect("history");
        facts.iter().filter(|event| event.fact.kind() == "stock.available").count()
    }
}

/// What an update says of an item.
pub(crate) fn level(update: &Update, name: &ItemId) -> Option<(u32, bool)> {
    update.items.iter().find(|level| level.item == *name).map(|level| (level.free, level.waiting))
}
