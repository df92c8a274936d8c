//! Short words for the material of a rule: ids, lines, requests, terms. They panic on what is no id: a rule's text is constant.

use std::time::Duration;

use flashsale_core::coupon::Discount;
use flashsale_core::id::ContentHash;
use flashsale_core::notice::{Message, Notice, NoticeKey};
use flashsale_core::sale::{Line, Lines};
use flashsale_core::stock::{
    Accept, Door, Epoch, HoldNo, ItemLevel, Load, Nonce, OrderState, Reserve, Settled, Standing, Then, Version,
};
use flashsale_core::{
    BuyerId, Coupon, CouponId, Item, ItemId, Key, Method, Money, OrderId, Quantity, Sale, SaleId, Timestamp,
    TraceParent, won,
};

/// How long the gates under test hold units: short, for backends whose clock cannot be moved.
pub const HOLD: Duration = Duration::from_millis(200);
/// How long a buyer has to pay.
pub const PAY_WITHIN: Duration = Duration::from_secs(600);

/// A sale's name.
#[must_use]
pub fn sale_id(name: &str) -> SaleId {
    SaleId::new(name).expect("a sale's name")
}

/// An item's name.
#[must_use]
pub fn item(name: &str) -> ItemId {
    ItemId::new(name).expect("an item's name")
}

/// A buyer's name.
#[must_use]
pub fn buyer(name: &str) -> BuyerId {
    BuyerId::new(name).expect("a buyer's name")
}

/// A key.
#[must_use]
pub fn key(name: &str) -> Key {
    Key::new(name).expect("a key")
}

/// An order's name, `buyer~key`.
#[must_use]
pub fn order(name: &str) -> OrderId {
    OrderId::new(name).expect("an order's name")
}

/// A number of units.
#[must_use]
pub fn units(n: u64) -> Quantity {
    Quantity::new(n).expect("a quantity")
}

/// The lines of a purchase: items and units.
#[must_use]
pub fn lines(of: &[(&str, u64)]) -> Lines {
    let lines = of.iter().map(|(name, n)| Line { item: item(name), units: units(*n) }).collect();
    Lines::new(lines).expect("lines")
}

/// The fingerprint of these lines.
#[must_use]
pub fn hash(of: &[(&str, u64)]) -> ContentHash {
    let text: Vec<String> = of.iter().map(|(name, n)| format!("{name}={n}")).collect();
    ContentHash::over(text.iter().map(String::as_bytes))
}

/// Asks a gate for units, in the name of the public.
#[must_use]
pub fn reserve(id: &str, of: &[(&str, u64)]) -> Reserve {
    Reserve { id: order(id), hash: hash(of), lines: lines(of), standing: Standing::Public }
}

/// Asks a ledger for an order that is to be paid, without a hold, at the price as it is.
#[must_use]
pub fn accept(id: &str, of: &[(&str, u64)]) -> Accept {
    Accept {
        id: order(id),
        hash: hash(of),
        lines: lines(of),
        hold: None,
        expect: None,
        coupon: None,
        method: None,
        note: None,
        then: Then::Pay { within: PAY_WITHIN },
        trace: None,
    }
}

/// The trace of a request.
#[must_use]
pub fn trace() -> TraceParent {
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().expect("a traceparent")
}

/// The same with the hold `no` of the gate in `epoch`.
#[must_use]
pub fn held(epoch: u64, no: u64, accept: Accept) -> Accept {
    Accept { hold: Some((Epoch(epoch), HoldNo(no))), ..accept }
}

/// The same, paid with a coupon from the wallet.
#[must_use]
pub fn with_coupon(coupon: &str, accept: Accept) -> Accept {
    let coupon = Some(CouponId::new(coupon).expect("a coupon's name"));
    Accept { coupon, method: Some(wallet()), ..accept }
}

/// The way to pay that the coupons of [`coupon`] ask for.
#[must_use]
pub fn wallet() -> Method {
    Method::new("wallet").expect("a method")
}

/// A coupon named `campaign~window~member`: 3,000 off from 10,000 up, with the wallet, valid until `expires_at`.
#[must_use]
pub fn coupon(name: &str, expires_at: Timestamp) -> Coupon {
    let id = CouponId::new(name).expect("a coupon's name");
    let part = |n: usize| name.split('~').nth(n).unwrap_or_default().to_owned();
    Coupon {
        campaign: flashsale_core::CampaignId::new(&part(0)).expect("a campaign's name"),
        window: part(1),
        member: buyer(&part(2)),
        discount: Discount { takes_off: won(3_000), from: won(10_000), only_with: Some(wallet()) },
        expires_at,
        used_by: None,
        id,
    }
}

/// Asks a ledger to issue a coupon, as an order of the item `coupon` of a window's sale.
#[must_use]
pub fn claim(key: &str, coupon: Coupon) -> Accept {
    let id = OrderId::scoped(&coupon.member, coupon.campaign.as_str(), &self::key(key)).expect("a claim's name");
    Accept { id, then: Then::Issue(Box::new(coupon)), ..accept("x~x", &[("coupon", 1)]) }
}

/// Terms: items with their units, price and limit per buyer; always open, holding for [`HOLD`].
#[must_use]
pub fn sale(name: &str, items: &[(&str, u64, u64, u64)]) -> Sale {
    let item = |(name, total, price, limit): &(&str, u64, u64, u64)| Item {
        id: item(name),
        total: units(*total),
        price: won(*price),
        per_buyer: units(*limit),
    };
    let terms = Sale::named(name).expect("a sale's name").hold(HOLD).pay_within(PAY_WITHIN);
    items.iter().map(item).fold(terms, Sale::item)
}

/// An amount of won.
#[must_use]
pub fn amount(minor: u64) -> Money {
    won(minor)
}

/// The level of an item, without anybody waiting for it.
#[must_use]
pub fn level(name: &str, free: u32, limit: u64) -> ItemLevel {
    ItemLevel { item: item(name), free, limit: units(limit), waiting: false }
}

/// A version with a tag made from its number.
#[must_use]
pub fn version(v: u64) -> Version {
    Version { v, tag: v.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1 }
}

/// An open door that holds for [`HOLD`].
#[must_use]
pub fn door() -> Door {
    Door { state: flashsale_core::sale::SaleState::Open, window: flashsale_core::sale::Window::ALWAYS, hold: HOLD }
}

/// What a gate is opened with: nonce 7, epoch 1, version 1.
#[must_use]
pub fn load(items: &[ItemLevel]) -> Load {
    Load { nonce: Nonce(7), epoch: Epoch(1), version: version(1), door: door(), items: items.to_vec() }
}

/// A decided order of these lines, as an update lists it.
#[must_use]
pub fn settled(id: &str, of: &[(&str, u64)], state: OrderState, v: u64) -> Settled {
    Settled { id: order(id), hash: hash(of), state, v }
}

/// A notice of a return, under this key.
#[must_use]
pub fn notice(key: &str, to: &str, at: Timestamp) -> Notice {
    let key = NoticeKey::new(key).expect("a key");
    Notice { key, to: buyer(to), at, message: Message::OrderReturned { order: order(&format!("{to}~1")) } }
}
