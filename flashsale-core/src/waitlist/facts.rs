//! The facts of wishes that no order tells of yet: joined, left; and of an item that is open to the public again.
//!
//! What becomes of an offer is told with its order, in the order noun's own facts.

use crate::event::{Event, Fact};
use crate::id::SaleId;
use crate::stock::ItemTotals;
use crate::time::Timestamp;
use crate::waitlist::{Parting, Wish};

fn about(wish: &Wish, version: u64, now: Timestamp, fact: Fact) -> Event {
    Event {
        subject: wish.offer.as_str().to_owned(),
        version,
        sale: Some(wish.sale.clone()),
        time: now,
        fact,
        trace: None,
    }
}

/// Somebody waits. Version 0: the versions of the order that an offer of it is begin at 1.
#[must_use]
pub fn wished(wish: &Wish, now: Timestamp) -> Event {
    let fact = Fact::WaitlistWished {
        offer: wish.offer.clone(),
        member: wish.member(),
        item: wish.item.clone(),
        units: wish.units.units(),
        number: wish.number,
    };
    about(wish, 0, now, fact)
}

/// Somebody waits no more.
#[must_use]
pub fn left(wish: &Wish, now: Timestamp) -> Event {
    let fact = Fact::WaitlistLeft {
        offer: wish.offer.clone(),
        member: wish.member(),
        item: wish.item.clone(),
        reason: wish.why.map_or("none", Parting::code).to_owned(),
    };
    about(wish, 1, now, fact)
}

/// Units of an item are for the public again, because nobody waits any more; `items` are the rows as they are now.
#[must_use]
pub fn opened<'a>(
    sale: &SaleId,
    v: u64,
    now: Timestamp,
    items: impl IntoIterator<Item = &'a ItemTotals>,
) -> Vec<Event> {
    let free = |item: &ItemTotals| item.total.saturating_sub(item.allocated);
    let open = items.into_iter().filter(|item| !item.waiting && free(item) > 0);
    open.map(|item| Event {
        subject: format!("{sale}/{}", item.item),
        version: v,
        sale: Some(sale.clone()),
        time: now,
        fact: Fact::StockAvailable { item: item.item.clone(), units: free(item) },
        trace: None,
    })
    .collect()
}
