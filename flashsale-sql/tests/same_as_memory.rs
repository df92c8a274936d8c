//! The ledger on SQLite and the one in memory are told the same random steps and give the same answers, but for tags.
#![cfg(feature = "sqlite")]

mod shared;

use std::time::Duration;

use flashsale_core::coupon::{At, Campaign, CouponLedger};
use flashsale_core::event::{DeadLetter, DeadLetters, Event, Outbox, Replay, Why};
use flashsale_core::memory::MemoryLedger;
use flashsale_core::order::{Append, Input, OrderLedger, OrderQuery, Policy, Reason, Verdict, step};
use flashsale_core::payment::{
    Capture, Charge, DeclineReason, Outcome, PaymentKey, WalletAct, WalletLedger, WalletRequest,
};
use flashsale_core::sale::{SaleState, Window};
use flashsale_core::stock::{
    Accept, Accepted, Adopted, Cancel, Change, Epoch, Followed, HoldNo, Nonce, StockLedger, Then, Update, Version,
};
use flashsale_core::unit::Quantity;
use flashsale_core::{BuyerId, Clock, CouponId, Key, ManualClock, Method, OrderId, SaleId, Timestamp, won};
use flashsale_sql::SqliteLedger;

/// A small generator (SplitMix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % sides
    }
}

struct Pair {
    memory: MemoryLedger,
    sqlite: SqliteLedger,
    /// Where each of them stands: numbers are the same, tags are their own.
    at: [Version; 2],
    seen: [Vec<Version>; 2],
    what: String,
}

fn same<T: std::fmt::Debug>(pair: &Pair, memory: T, sqlite: T) {
    let (memory, sqlite) = (untagged(&memory), untagged(&sqlite));
    // Not assert_eq: an answer can be long.
    let differs = memory.bytes().zip(sqlite.bytes()).position(|(a, b)| a != b).unwrap_or(0);
    let near = |text: &str| text[differs.saturating_sub(200)..(differs + 200).min(text.len())].to_owned();
    assert!(memory == sqlite, "{}: memory ..{}..\nsqlite ..{}..", pair.what, near(&memory), near(&sqlite));
}

/// The text of an answer without what each ledger numbers for itself: tags and rows of the outbox.
fn untagged(answer: &impl std::fmt::Debug) -> String {
    let mut text = format!("{answer:?}");
    for name in ["tag: ", "OutboxNo("] {
        let mut parts = text.split(name);
        let mut kept = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            kept.push_str(name);
            kept.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
        }
        text = kept;
    }
    text
}

impl Pair {
    fn moved(&mut self, update: [Option<&Update>; 2]) {
        for (side, update) in update.into_iter().enumerate() {
            if let Some(update) = update {
                self.at[side] = update.to;
                self.seen[side].push(update.to);
            }
        }
    }
}

fn order_id(dice: &mut Dice) -> OrderId {
    OrderId::new(&format!("b{}~k{}", dice.roll(6), dice.roll(25))).unwrap()
}

fn accept(dice: &mut Dice, epoch: Epoch, gated: bool) -> Accept {
    let id = order_id(dice);
    let units = 1 + dice.roll(3);
    let what = match dice.roll(4) {
        0 => vec![("hat", units)],
        1 => vec![("sneaker", units), ("hat", 1)],
        2 if dice.roll(10) == 0 => vec![("nothing", 1)],
        _ => vec![("sneaker", units)],
    };
    let mut accept = shared::buys(id.as_str(), &what);
    if dice.roll(6) == 0 {
        accept.expect = Some(won(1_000));
    }
    if dice.roll(5) == 0 {
        accept.coupon = Some(CouponId::new(&format!("plant~once~b{}", dice.roll(6))).unwrap());
        accept.method = Some(Method::new("wallet").unwrap());
    }
    if gated && dice.roll(20) != 0 {
        accept.hold = Some((Epoch(epoch.0 - u64::from(dice.roll(30) == 0)), HoldNo(dice.roll(400))));
    }
    accept.then = if dice.roll(3) == 0 { Then::Keep } else { Then::Pay { within: Duration::from_secs(60) } };
    accept
}

fn change(dice: &mut Dice) -> Change {
    let item = ["hat", "sneaker", "nothing"][dice.roll(3) as usize].parse().unwrap();
    match dice.roll(6) {
        0 | 1 => Change::Adjust { item, by: dice.roll(12) as i64 - 4 },
        2 => Change::Price { item, price: won(990 + dice.roll(20)) },
        3 => Change::Limit { item, per_buyer: Quantity::new(1 + dice.roll(9)).unwrap() },
        4 => Change::Window(Window { opens_at: Timestamp::from_ms(dice.roll(9) as i64), closes_at: Timestamp::FAR }),
        _ => Change::State([SaleState::Open, SaleState::Paused, SaleState::Open][dice.roll(3) as usize]),
    }
}

fn input(dice: &mut Dice) -> Input {
    match dice.roll(10) {
        0 => Input::BuyerCancels,
        1 | 2 => Input::TurnToPay,
        3 | 4 => Input::Approved { amount: won(1_000) },
        5 => Input::Declined(DeclineReason::Refused),
        6 => Input::NeedsBuyer { action: "go there".to_owned(), until: Timestamp::from_ms(99_000) },
        7 => Input::Return,
        8 => Input::PaymentCancelled,
        _ => Input::Refunded,
    }
}

fn wallet(dice: &mut Dice) -> WalletRequest {
    let member = BuyerId::new(&format!("b{}", dice.roll(4))).unwrap();
    let amount = won(dice.roll(6) * 2_500);
    let act = match dice.roll(4) {
        0 | 1 => WalletAct::Charge { amount },
        2 => WalletAct::Withdraw { amount },
        _ => WalletAct::Trade {
            seller: BuyerId::new(&format!("b{}", dice.roll(4))).unwrap(),
            amount,
            coupon: (dice.roll(2) == 0).then(|| CouponId::new(&format!("plant~once~{member}")).unwrap()),
        },
    };
    WalletRequest::new(&member, &Key::new(&format!("w{}", dice.roll(40))).unwrap(), act)
}

fn key(dice: &mut Dice) -> PaymentKey {
    PaymentKey { order: order_id(dice), attempt: 1, method: None }
}

/// Calls both and compares; the answers come back as `[memory, sqlite]`.
macro_rules! both {
    ($pair:ident.$method:ident($($arg:expr),*)) => {
        both!($pair, $pair.memory.$method($($arg),*), $pair.sqlite.$method($($arg),*))
    };
    ($pair:ident, $port:ident.$method:ident($($arg:expr),*)) => {
        both!($pair, $port::$method(&$pair.memory, $($arg),*), $port::$method(&$pair.sqlite, $($arg),*))
    };
    ($pair:ident, $memory:expr, $sqlite:expr) => {{
        let (memory, sqlite) = ($memory.await, $sqlite.await);
        if let Err(error) = &sqlite {
            assert_eq!(memory.as_ref().err().map(|e| e.kind()), Some(error.kind()), "{} {error}", $pair.what);
        } else {
            same(&$pair, memory.as_ref().unwrap(), sqlite.as_ref().unwrap());
        }
        [memory.ok(), sqlite.ok()]
    }};
}

async fn run(seed: u64, steps: usize) {
    let place = shared::Place::new();
    let clock = ManualClock::starting(Timestamp::from_ms(1_000));
    let memory = MemoryLedger::new(clock.clone(), seed);
    let sqlite = place.ledger().await.with_clock(clock.clone());
    let nowhere = Version { v: 0, tag: 0 };
    let mut pair = Pair { memory, sqlite, at: [nowhere; 2], seen: [vec![], vec![]], what: String::new() };
    let mut dice = Dice(seed);
    let (sale, id): (_, SaleId) = (shared::sale(20), shared::sale_id());
    assert_eq!(both!(pair.open(&sale))[1], Some(Ok(())));
    let totals = both!(pair.totals(&id));
    pair.at = totals.map(|totals| totals.unwrap().unwrap().version);
    pair.seen = pair.at.map(|version| vec![version]);
    let campaign = Campaign::named("plant").unwrap().first(4).unwrap().takes_off(won(300)).from(won(900));
    both!(pair.campaigns_put(std::slice::from_ref(&campaign)));
    let At::Open(opening) = campaign.at(clock.now()) else { panic!("it is open") };
    let claims = campaign.sale(&opening).unwrap();
    both!(pair.open(&claims));
    let (mut epoch, mut gated) = (Epoch(0), false);
    for n in 0..steps {
        clock.advance(Duration::from_millis(dice.roll(900)));
        let roll = dice.roll(24);
        pair.what = format!("seed {seed}, step {n}, kind {roll}");
        match roll {
            0..=4 => {
                let count = 1 + dice.roll(12);
                let batch: Vec<Accept> = (0..count).map(|_| accept(&mut dice, epoch, gated)).collect();
                let answers: [Option<Accepted>; 2] = both!(pair.accept(&id, &batch));
                pair.moved([0, 1].map(|side| answers[side].as_ref().and_then(|answer| answer.update.as_ref())));
            }
            5 => {
                let batch: Vec<Cancel> = (0..1 + dice.roll(4))
                    .map(|_| Cancel { id: order_id(&mut dice), reason: Reason::Operator })
                    .collect();
                let answers = both!(pair.cancel(&id, &batch));
                pair.moved([0, 1].map(|side| answers[side].as_ref().and_then(|answer| answer.1.as_ref())));
            }
            6..=9 => {
                let ids: Vec<OrderId> = (0..6).map(|_| order_id(&mut dice)).collect();
                let loaded = both!(pair.load(&ids));
                let (orders, now) = loaded[0].clone().unwrap();
                let mut batch: Vec<Append> = vec![];
                for order in orders.iter().flatten() {
                    if batch.iter().any(|append| append.order.id == order.id) {
                        continue;
                    }
                    if let Verdict::Move(append) = step(Some(order), &input(&mut dice), now, &Policy::default()) {
                        batch.push(*append);
                    }
                }
                if let Some(first) = batch.first_mut().filter(|_| dice.roll(8) == 0) {
                    first.expect += 1;
                }
                let answers = both!(pair.append(&id, &batch));
                pair.moved([0, 1].map(|side| answers[side].as_ref().and_then(|answer| answer.1.as_ref())));
            }
            10 => {
                let (name, change) = (Key::new(&format!("c{}", dice.roll(60))).unwrap(), change(&mut dice));
                let answers = both!(pair.change(&id, &name, &change));
                let update = |side: usize| answers[side].as_ref()?.as_ref().ok()?.as_ref();
                let updates = [update(0), update(1)].map(|update| update.cloned());
                pair.moved([updates[0].as_ref(), updates[1].as_ref()]);
            }
            11 if dice.roll(5) == 0 => {
                let nonce = Nonce(dice.roll(3) + 1);
                let adopted = both!(pair.adopt(&id, nonce, epoch));
                if let Some(Adopted::Yes(load)) = &adopted[0] {
                    (epoch, gated) = (load.epoch, true);
                }
            }
            12..=14 => {
                let back = usize::try_from(dice.roll(4)).unwrap();
                let lapsed = HoldNo(if dice.roll(2) == 0 { 0 } else { dice.roll(40) });
                let nonce = Nonce(dice.roll(3) + 1);
                let from = |side: usize| {
                    let seen = &pair.seen[side];
                    seen[seen.len() - 1 - back.min(seen.len() - 1)]
                };
                let (memory, sqlite) = (
                    pair.memory.follow(&id, nonce, from(0), lapsed).await.unwrap(),
                    pair.sqlite.follow(&id, nonce, from(1), lapsed).await.unwrap(),
                );
                same(&pair, memory, sqlite);
                let wrong = Version { tag: from(1).tag ^ 1, ..from(1) };
                let answer = pair.sqlite.follow(&id, nonce, wrong, lapsed).await.unwrap();
                assert!(matches!(answer, Followed::Superseded | Followed::Rewound), "{}", pair.what);
            }
            15 => {
                let after = (dice.roll(2) == 0).then(|| order_id(&mut dice));
                let limit = 1 + dice.roll(30) as usize;
                both!(pair.answers(&id, after.as_ref(), limit));
            }
            16 => {
                let query = OrderQuery {
                    buyer: BuyerId::new(&format!("b{}", dice.roll(6))).unwrap(),
                    after: (dice.roll(2) == 0).then(|| order_id(&mut dice)),
                    limit: 1 + dice.roll(9) as usize,
                };
                both!(pair.list(&query));
                both!(pair.due(query.limit));
                both!(pair.stuck(5));
                both!(pair.totals(&id));
                both!(pair.sales());
            }
            17 => {
                let member = BuyerId::new(&format!("b{}", dice.roll(6))).unwrap();
                let mut claim = shared::buys(&format!("{member}~plant~k{}", dice.roll(3)), &[("coupon", 1)]);
                claim.then = Then::Issue(Box::new(campaign.coupon(&opening, &member, Timestamp::from_ms(5)).unwrap()));
                both!(pair.accept(&claims.id, &[claim.clone(), claim.clone()]));
                both!(pair.coupons_of(&member, None, 3));
                both!(pair.coupons(&[CouponId::new(&format!("plant~once~{member}")).unwrap()]));
            }
            18 | 19 => {
                let batch: Vec<WalletRequest> = (0..1 + dice.roll(6)).map(|_| wallet(&mut dice)).collect();
                both!(pair.wallet(&batch));
                let member = BuyerId::new(&format!("b{}", dice.roll(4))).unwrap();
                both!(pair.balance(&member));
                let before = (dice.roll(2) == 0).then(|| dice.roll(60));
                both!(pair.entries(&member, before, 7));
            }
            20 => {
                let charge = |dice: &mut Dice| {
                    let key = key(dice);
                    let (buyer, amount) = (key.order.buyer(), won(dice.roll(4_000)));
                    Charge { key, buyer, amount, until: Timestamp::FAR }
                };
                let batch: Vec<Charge> = (0..1 + dice.roll(5)).map(|_| charge(&mut dice)).collect();
                both!(pair.pay(&batch));
                both!(pair.paid(&batch.iter().map(|charge| charge.key.clone()).collect::<Vec<_>>()));
            }
            21 => {
                let keys = [key(&mut dice), key(&mut dice), key(&mut dice)];
                match dice.roll(3) {
                    0 => drop(both!(pair.fence(&keys))),
                    1 => drop(both!(pair.give_back(&keys))),
                    _ => {
                        let paid = match &pair.memory.paid(&keys).await.unwrap()[0] {
                            Some(Outcome::Approved { amount, .. }) => *amount,
                            _ => won(0),
                        };
                        let seller_gets = paid.plus(won(200)).unwrap();
                        let capture = Capture { key: keys[0].clone(), seller_gets, funded: won(200) };
                        both!(
                            pair,
                            WalletLedger.settle(&BuyerId::new("shop").unwrap(), std::slice::from_ref(&capture))
                        );
                    }
                }
            }
            22 => {
                let limit = 1 + dice.roll(40) as usize;
                let unsent = both!(pair.unsent(None, limit));
                let [of_memory, of_sqlite] =
                    unsent.map(|rows| rows.unwrap().into_iter().unzip::<_, _, Vec<_>, Vec<_>>());
                pair.memory.sent(&of_memory.0).await.unwrap();
                pair.sqlite.sent(&of_sqlite.0).await.unwrap();
                let events: Vec<Event> = of_memory.1.into_iter().take(2).collect();
                both!(pair.put(&events));
                let subject = order_id(&mut dice);
                both!(pair.history(subject.as_str()));
                if dice.roll(4) == 0 {
                    let before = Timestamp::from_ms(dice.roll(60_000) as i64);
                    both!(pair.prune(before, 400));
                }
                let letter = |event: Event| DeadLetter {
                    consumer: format!("c{}", event.version % 2),
                    reason: "no".to_owned(),
                    tries: 3,
                    at: Timestamp::from_ms(7),
                    event,
                };
                let letters: Vec<DeadLetter> = events.into_iter().map(letter).collect();
                both!(pair.bury(&letters));
            }
            _ => {
                let letters = both!(pair.letters(5));
                let why = Why::new("no use").unwrap();
                let how = if dice.roll(2) == 0 { Replay::Replayed } else { Replay::Discarded(why) };
                if let Some(letter) = letters[0].as_ref().unwrap().first() {
                    both!(pair, DeadLetters.settle(&letter.consumer, &letter.event.id(), how.clone()));
                    both!(pair, DeadLetters.settle(&letter.consumer, &letter.event.id(), how.clone()));
                    both!(pair, DeadLetters.letter(&letter.consumer, &letter.event.id()));
                }
            }
        }
        assert_eq!(pair.memory.audit(), Vec::<String>::new(), "{}", pair.what);
    }
    both!(pair.unsent(None, 100_000));
    both!(pair.answers(&id, None, 100_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_steps_get_the_same_answers() {
    for seed in 1..=4 {
        run(seed, 400).await;
    }
}
