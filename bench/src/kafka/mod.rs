//! The marks of events on Kafka: to the raw producer and the raw consumer of the same client, with the very same bytes.
//!
//! One real broker, topics of six partitions, nothing else on it. What is timed is the road between this process and the broker: events as
//! values, made into bytes or made of them, and acknowledged or taken up as the engine's passes do it. The rows of the outbox are not
//! in it: what a ledger costs is the business of the marks of ledgers.

mod rival;

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use flashsale_core::event::{Event, EventSink, EventSource, Fact, OrderFact};
use flashsale_core::sale::Lines;
use flashsale_core::{BuyerId, ItemId, Key, Money, OrderId, Quantity, SaleId, Timestamp, TraceParent, won};
use flashsale_kafka::{KafkaConfig, KafkaEventSink, KafkaEventSource, Topics};
use flashsale_services::{Kafka, KafkaOptions};
use tokio::runtime::Runtime;

use crate::Failure;
use crate::gate::per_second;
use crate::runs::Figures;

/// Events of one run.
const EVENTS: usize = 400 * BATCH;
/// What the relay takes from the outbox at once, and a consumer from its source.
const BATCH: usize = 512;
/// Batches that the relay has under way at the same time.
const IN_FLIGHT: usize = 8;
const PARTITIONS: u16 = 6;
const GROUP: &str = "saga";

/// Publishing, to the raw producer.
pub(crate) fn relay(runs: usize) -> Result<Figures, Failure> {
    let bench = Bench::start()?;
    let records = rival::records(&bench.config, &bench.events);
    Figures::measure("events", runs, || bench.speed_of_producer(&records), || bench.speed_of_sink())
}

/// Taking up, to the raw consumer.
pub(crate) fn consume(runs: usize) -> Result<Figures, Failure> {
    let bench = Bench::start()?;
    bench.run(publish(&KafkaEventSink::open(&bench.config)?, &bench.batches()))?;
    let topic = bench.config.topic(bench.topic());
    Figures::measure(
        "events",
        runs,
        || rival::consume(&bench.brokers, &topic, PARTITIONS, EVENTS),
        || bench.speed_of_source(),
    )
}

/// A broker with topics on it, and what is sent.
struct Bench {
    runtime: Runtime,
    // Named by what it is for: it lives as long as the bench.
    _broker: Kafka,
    brokers: String,
    config: KafkaConfig,
    events: Arc<[Event]>,
    groups: Cell<u32>,
}

impl Bench {
    fn start() -> Result<Self, Failure> {
        let broker = Kafka::try_start(&KafkaOptions::default())?;
        let (runtime, brokers) = (Runtime::new()?, broker.brokers());
        let config = KafkaConfig::new(&brokers)?.prefix("bench")?;
        runtime.block_on(Topics::default().partitions(PARTITIONS).create(&config))?;
        let events = (0..EVENTS).map(event).collect::<Result<Vec<_>, Failure>>()?;
        Ok(Self { runtime, _broker: broker, brokers, config, events: events.into(), groups: Cell::new(0) })
    }

    fn run<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        self.runtime.block_on(work)
    }

    fn topic(&self) -> &'static str {
        self.events[0].fact.topic()
    }

    fn batches(&self) -> Arc<[Vec<Event>]> {
        self.events.chunks(BATCH).map(<[Event]>::to_vec).collect()
    }

    fn speed_of_producer(&self, records: &[rival::Record]) -> Result<f64, Failure> {
        rival::produce(&self.brokers, &self.config.topic(self.topic()), records)
    }

    /// A sink that is connected; then all batches, [`IN_FLIGHT`] at a time, each acknowledged.
    fn speed_of_sink(&self) -> Result<f64, Failure> {
        let sink = KafkaEventSink::open(&self.config)?;
        let batches = self.batches();
        self.run(async {
            sink.publish(&batches[0]).await?;
            let begun = Instant::now();
            publish(&sink, &batches).await?;
            Ok(per_second(EVENTS, begun.elapsed()))
        })
    }

    /// A new group, from its first delivery on: what it takes to join is not of interest, and what was fetched by then is counted out.
    fn speed_of_source(&self) -> Result<f64, Failure> {
        // A new group of another name for each run: it begins with the oldest event.
        self.groups.set(self.groups.get() + 1);
        let group = format!("{GROUP}-{}", self.groups.get());
        let source = KafkaEventSource::open(&self.config)?.topics(&group, [self.topic()]);
        source.join(&group);
        self.run(async {
            let first = source.poll(&group, BATCH).await?;
            source.commit(&group, first.position).await?;
            let (begun, already) = (Instant::now(), first.events.len());
            let mut taken = already;
            while taken < EVENTS {
                let delivery = source.poll(&group, BATCH).await?;
                taken += delivery.events.len();
                source.commit(&group, delivery.position).await?;
            }
            Ok(per_second(taken - already, begun.elapsed()))
        })
    }
}

/// Publishes as the relay does.
async fn publish(sink: &KafkaEventSink, batches: &Arc<[Vec<Event>]>) -> Result<(), Failure> {
    let next = Arc::new(AtomicUsize::new(0));
    let lane = || {
        let (next, batches, sink) = (next.clone(), batches.clone(), sink.clone());
        async move {
            while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                sink.publish(batch).await?;
            }
            Ok::<(), Failure>(())
        }
    };
    futures_util::future::try_join_all((0..IN_FLIGHT).map(|_| lane())).await.map(|_| ())
}

/// The acceptance of an order, as a shop has them; every fourth of a traced request.
fn event(n: usize) -> Result<Event, Failure> {
    let buyer = BuyerId::new(&format!("buyer-{n:07}"))?;
    let order = OrderId::of(&buyer, &Key::new(&format!("k-{n:07}"))?);
    let trace = format!("00-{:032x}-{:016x}-01", n + 1, n + 1).parse::<TraceParent>()?;
    let (list, now) = (won(129_000), Timestamp::from_ms(1_800_000_000_000));
    let fact = OrderFact {
        order: order.clone(),
        buyer,
        lines: Lines::one(&ItemId::new("sneaker-42")?, Quantity::MIN),
        list,
        discount: Money::ZERO,
        pays: list,
        coupon: None,
        method: None,
        pay_by: Some(now),
        no: Some(n as u64),
    };
    Ok(Event {
        subject: order.as_str().to_owned(),
        version: 1,
        sale: Some(SaleId::new("drop-1")?),
        time: now,
        fact: Fact::OrderAccepted(fact),
        trace: n.is_multiple_of(4).then_some(trace),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compared_sends_and_takes_the_same_records() {
        let bench = Bench::start().unwrap();
        let records = rival::records(&bench.config, &bench.events);
        assert!(bench.speed_of_producer(&records).unwrap() > 0.0);
        // What the raw producer sent, our source reads as the events that they are, and the raw consumer counts all of them.
        assert!(bench.speed_of_source().unwrap() > 0.0);
        let topic = bench.config.topic(bench.topic());
        assert!(rival::consume(&bench.brokers, &topic, PARTITIONS, EVENTS).unwrap() > 0.0);
        assert!(bench.speed_of_sink().unwrap() > 0.0);
        let bytes = |record: &rival::Record| record.headers.iter().map(|(_, value)| value.len()).sum::<usize>();
        assert!(bytes(&records[0]) > bytes(&records[1]), "the first stands in a trace");
    }
}
