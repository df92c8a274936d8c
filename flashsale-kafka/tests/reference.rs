//! Every fact's bytes are those of `docs/reference/events.md`, and are read back as what they were.

use std::fmt::Write as _;

use flashsale_core::event::{Event, Fact, OrderFact, StuckOver, WalletFact};
use flashsale_core::sale::{Line, Lines};
use flashsale_core::unit::{Money, Quantity};
use flashsale_core::{OrderId, Timestamp};
use flashsale_kafka::wire::{self, Unread};

const PREFIX: &str = "flashsale";
/// In which one of them stands.
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// The name of a wish, and of the order that an offer of it is.
const OFFER: &str = "ann~waitlist~00f1e2d3c4b5a697.1";

fn at(minutes: i64) -> Timestamp {
    Timestamp::from_ms(1_800_000_000_000 + minutes * 60_000)
}

fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect(text)
}

fn order_fact() -> OrderFact {
    let line = |item: &str, units| Line { item: id(item), units: Quantity::new(units).unwrap() };
    OrderFact {
        order: id("ann~k1"),
        buyer: id("ann"),
        lines: Lines::new(vec![line("shoe", 2), line("sock", 1)]).unwrap(),
        list: Money::new(21_000).unwrap(),
        discount: Money::new(1_000).unwrap(),
        pays: Money::new(20_000).unwrap(),
        coupon: Some(id("welcome~2027-01~ann")),
        method: Some(id("wallet")),
        pay_by: Some(at(10)),
        no: Some(17),
    }
}

/// One event of every kind, in the order of the table.
fn one_of_each() -> Vec<Event> {
    let (order, attempt): (OrderId, u32) = (id("ann~k1"), 1);
    let (buyer, item) = (id::<flashsale_core::BuyerId>("ann"), id::<flashsale_core::ItemId>("shoe"));
    let (amount, reason) = (Money::new(20_000).unwrap(), "declined".to_owned());
    let until = at(10);
    let wallet = |amount| WalletFact {
        member: id("ann"),
        amount,
        balance: Money::new(5_000).unwrap(),
        cause: "ann~k1".to_owned(),
    };
    let coupon = id::<flashsale_core::CouponId>("welcome~2027-01~ann");
    let offer = id::<OrderId>(OFFER);
    let facts = vec![
        ("drop", Fact::SaleOpened { opens_at: at(0), closes_at: at(60) }),
        ("drop", Fact::SalePaused {}),
        ("drop", Fact::SaleResumed {}),
        ("drop", Fact::SaleClosed {}),
        ("drop", Fact::SaleChanged { what: "the price of shoe is 9000".to_owned() }),
        ("drop/shoe", Fact::StockOpened { item: item.clone(), total: 500 }),
        ("drop/shoe", Fact::StockAdjusted { item: item.clone(), by: -3 }),
        ("drop/shoe", Fact::StockSoldOut { item: item.clone() }),
        ("drop/shoe", Fact::StockAvailable { item: item.clone(), units: 1 }),
        ("ann~k1", Fact::OrderAccepted(order_fact())),
        (
            "ann~k1",
            Fact::OrderPaymentRequested {
                order: order.clone(),
                buyer: buyer.clone(),
                attempt,
                amount,
                method: None,
                until,
            },
        ),
        (
            "ann~k1",
            Fact::OrderConfirmed(OrderFact { coupon: None, method: None, pay_by: None, no: None, ..order_fact() }),
        ),
        ("ann~k1", Fact::OrderCancelled { order: order.clone(), buyer: buyer.clone(), reason: reason.clone() }),
        ("ann~k1", Fact::OrderReturnRequested { order: order.clone(), buyer: buyer.clone(), reason: reason.clone() }),
        ("ann~k1", Fact::OrderReturned { order: order.clone(), buyer: buyer.clone() }),
        ("ann~k1", Fact::OrderStuck { order: order.clone(), over: StuckOver::WrongAmount }),
        ("ann~k1", Fact::PaymentApproved { order: order.clone(), attempt, amount, reference: "p-1".to_owned() }),
        ("ann~k1", Fact::PaymentDeclined { order: order.clone(), attempt, reason }),
        (
            "ann~k1",
            Fact::PaymentNeedsBuyer {
                order: order.clone(),
                attempt,
                action: "https://pay.example/1".to_owned(),
                until,
            },
        ),
        ("ann~k1", Fact::PaymentUnknown { order: order.clone(), attempt }),
        ("ann~k1", Fact::PaymentRefunded { order: order.clone(), attempt }),
        ("ann", Fact::WalletCharged(wallet(25_000))),
        ("ann", Fact::WalletWithdrawn(wallet(-1))),
        ("ann", Fact::WalletPaid(wallet(-20_000))),
        ("shop", Fact::WalletReceived(wallet(21_000))),
        ("ann", Fact::WalletRefunded(wallet(20_000))),
        ("platform", Fact::WalletFunded(wallet(-1_000))),
        (
            "welcome~2027-01~ann",
            Fact::CouponIssued {
                coupon: coupon.clone(),
                campaign: id("welcome"),
                window: "2027-01".to_owned(),
                member: buyer.clone(),
                until,
            },
        ),
        (
            "welcome~2027-01~ann",
            Fact::CouponRedeemed { coupon: coupon.clone(), used_by: order.clone(), funded: Money::new(1_000).unwrap() },
        ),
        ("welcome~2027-01~ann", Fact::CouponRestored { coupon, used_by: order }),
        (
            "welcome~2027-01",
            Fact::CampaignWindowOpened { campaign: id("welcome"), window: "2027-01".to_owned(), cap: 1_000 },
        ),
        (
            OFFER,
            Fact::WaitlistWished {
                offer: offer.clone(),
                member: buyer.clone(),
                item: item.clone(),
                units: 2,
                number: 17,
            },
        ),
        (
            OFFER,
            Fact::WaitlistLeft {
                offer: offer.clone(),
                member: buyer.clone(),
                item: item.clone(),
                reason: "member".to_owned(),
            },
        ),
        (
            OFFER,
            Fact::WaitlistOffered {
                offer: offer.clone(),
                member: buyer.clone(),
                item: item.clone(),
                units: 2,
                until: None,
            },
        ),
        (OFFER, Fact::WaitlistAccepted { offer: offer.clone(), member: buyer.clone(), item: item.clone() }),
        (
            OFFER,
            Fact::WaitlistDeclined {
                offer: offer.clone(),
                member: buyer.clone(),
                item: item.clone(),
                reason: "buyer".to_owned(),
            },
        ),
        (OFFER, Fact::WaitlistLapsed { offer, member: buyer, item, units: 2 }),
        (
            "ann~k1/3/order.confirmed",
            Fact::NoticeSent {
                notice: "ann~k1/3/order.confirmed".to_owned(),
                to: id("ann"),
                message: "order_confirmed".to_owned(),
            },
        ),
        (
            "ann~k1/3/order.confirmed",
            Fact::NoticeFailed {
                notice: "ann~k1/3/order.confirmed".to_owned(),
                to: id("ann"),
                message: "order_confirmed".to_owned(),
                reason: "bad_address".to_owned(),
            },
        ),
        ("drop", Fact::RoomOpened { why: "arrivals".to_owned() }),
        ("drop", Fact::RoomClosed {}),
        ("drop", Fact::RoomChanged { mode: "auto".to_owned(), admits: 600, per_ms: 60_000, capacity: 300 }),
    ];
    let of_a_sale = |topic: &str| matches!(topic, "sale-state" | "stock" | "orders" | "waitlist");
    let event = |(subject, fact): (&str, Fact)| Event {
        subject: subject.to_owned(),
        version: 3,
        sale: of_a_sale(fact.topic()).then(|| id("drop")),
        time: at(1),
        trace: matches!(fact, Fact::OrderAccepted(_)).then(|| id(TRACE)),
        fact,
    };
    facts.into_iter().map(event).collect()
}

fn page() -> String {
    let mut page = String::from(
        "# Events\n\n\
         Printed from `flashsale-core/src/event/fact.rs` and the bytes that `flashsale-kafka` sends; a test compares it,\n\
         `UPDATE=1 cargo test -p flashsale-kafka --test reference` prints it anew.\n\n\
         On Kafka an event is a [CloudEvent 1.0](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md) in binary mode: attributes are headers, \
         the value is the data as JSON, the key is the subject.\n\
         `ce_id` is the same for every repeat of an event; `ce_subjectversion` counts the events of a subject in its topic, and consumers go by\n\
         it rather than by the order of arrival. Types begin with the prefix of the deployment (`kafka.prefix`), here `flashsale`. Consumers skip\n\
         fields and kinds that they do not know; another major version goes to the dead letters, `<topic>.dead`, with `dead_reason`, `dead_consumer`\n\
         and `dead_tries` beside its own headers.\n\n\
         An event that a traced request caused carries the request's [`traceparent`](https://www.w3.org/TR/trace-context/), as the extension\n\
         [distributed tracing](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/extensions/distributed-tracing.md) and as a header of its own; so do the events that follow from it. `order.accepted` below has one.\n\n\
         | type | topic | told by | for |\n|---|---|---|---|\n",
    );
    for (kind, topic, producer, consumers) in Fact::TABLE {
        let _ = writeln!(page, "| {kind} | {topic} | {producer} | {consumers} |");
    }
    for event in one_of_each() {
        let record = wire::encode(PREFIX, &event);
        let _ = writeln!(
            page,
            "\n## {}\n\nTopic `{PREFIX}.{}`, key `{}`\n\n```text",
            event.fact.kind(),
            event.fact.topic(),
            event.subject
        );
        for (name, value) in &record.headers {
            let _ = writeln!(page, "{name}: {value}");
        }
        let _ = writeln!(page, "\n{}\n```", record.value);
    }
    page
}

#[test]
fn the_bytes_of_every_event_are_those_of_the_reference() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/events.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, page()).unwrap();
    }
    assert!(
        std::fs::read_to_string(path).unwrap() == page(),
        "bytes on the wire changed: run with UPDATE=1 and look at the difference"
    );
}

fn read(record: &wire::Record<'_>) -> Result<Event, Unread> {
    wire::decode(PREFIX, record.headers.iter().map(|(name, value)| (*name, value.as_bytes())), record.value.as_bytes())
}

#[test]
fn there_is_one_of_each_and_each_is_read_back_as_it_was() {
    let all = one_of_each();
    let kinds: Vec<&str> = all.iter().map(|event| event.fact.kind()).collect();
    let table: Vec<&str> = Fact::TABLE.iter().map(|row| row.0).collect();
    assert_eq!(kinds, table);
    for event in all {
        assert_eq!(read(&wire::encode(PREFIX, &event)), Ok(event));
    }
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let all = one_of_each();
    let good = wire::encode(PREFIX, &all[9]);
    let reason = |change: &dyn Fn(&mut wire::Record<'_>)| {
        let mut record = good.clone();
        change(&mut record);
        match read(&record) {
            Err(Unread::Bad(reason)) => reason,
            other => panic!("{other:?}"),
        }
    };
    let put = |name: &'static str, value: &'static str| {
        move |record: &mut wire::Record<'_>| {
            record.headers.retain(|(other, _)| *other != name);
            record.headers.push((name, value.into()));
        }
    };
    for name in ["ce_specversion", "ce_type", "ce_subject", "ce_time", "ce_subjectversion"] {
        assert_eq!(reason(&|record| record.headers.retain(|(other, _)| *other != name)), format!("{name} is missing"));
    }
    assert_eq!(reason(&put("ce_specversion", "0.3")), "CloudEvents 0.3, not 1.0");
    assert_eq!(reason(&put("ce_type", "other.order.accepted.v1")), "the type other.order.accepted.v1");
    assert!(reason(&put("ce_type", "flashsale.order.accepted.v9")).contains("version v9"));
    assert!(reason(&put("ce_time", "yesterday")).contains("yesterday"));
    assert!(reason(&put("ce_subjectversion", "-1")).contains("-1"));
    assert!(reason(&put("ce_sale", "a sale")).contains("ce_sale"));
    for value in
        ["", "{", "{}", "[]", "{}}", "{} {}", "null", "\u{0}", "{\"order\":\"ann~k1\"},\"kind\":\"sale.closed\""]
    {
        assert!(!reason(&|record| record.value = value.to_owned()).is_empty(), "{value}");
    }
    let mut foreign = good.value.replacen('{', "{\"note\":\"?\",", 1).into_bytes();
    let headers = || good.headers.iter().map(|(name, value)| (*name, value.as_bytes()));
    assert!(wire::decode(PREFIX, headers(), &foreign).is_ok(), "a field that nobody knows");
    foreign[9] = 0xff;
    assert!(matches!(wire::decode(PREFIX, headers(), &foreign), Err(Unread::Bad(_))), "and that is no text");
    let newer = put("ce_type", "flashsale.order.weighed.v1");
    let mut record = good.clone();
    newer(&mut record);
    assert_eq!(read(&record), Err(Unread::NewKind("order.weighed".to_owned())));
}

#[test]
fn a_trace_is_read_from_either_header_and_a_malformed_one_is_none() {
    let [accepted, confirmed] = [9, 11].map(|n| one_of_each()[n].clone());
    let other = TRACE.replace("4bf9", "aaaa");
    let traced = |headers: &[(&'static str, &str)]| {
        let mut record = wire::encode(PREFIX, &confirmed);
        record.headers.extend(headers.iter().map(|(name, value)| (*name, (*value).to_owned().into())));
        let event = read(&record).expect("an event, whatever the trace");
        assert_eq!(event, Event { trace: event.trace, ..confirmed.clone() });
        event.trace.map(|trace| trace.to_string())
    };
    assert!(accepted.trace.is_some());
    assert_eq!(traced(&[]), None);
    assert_eq!(traced(&[("traceparent", TRACE)]).as_deref(), Some(TRACE));
    // Whose own header is another hop's: the event's is the one where it began.
    assert_eq!(traced(&[("ce_traceparent", TRACE), ("traceparent", &other)]).as_deref(), Some(TRACE));
    assert_eq!(traced(&[("traceparent", &other), ("ce_traceparent", TRACE)]).as_deref(), Some(TRACE));
    for bad in ["", "00", "\u{0}", &TRACE[1..], &TRACE.to_uppercase()] {
        assert_eq!(traced(&[("ce_traceparent", bad), ("traceparent", bad)]), None, "{bad}");
    }
}
