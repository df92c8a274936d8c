//! `Outbox` and `DeadLetters` on SQL: facts until they have left, and after that as the history of their subjects.
//!
//! Facts are written by the transactions that make them true, with [`tell`] (**G9**: rows exactly once).

use std::sync::Arc;

use async_trait::async_trait;
use flashsale_core::error::BackendError;
use flashsale_core::event::{DeadLetter, DeadLetters, Event, Fact, Outbox, OutboxNo, Replay, Why};
use flashsale_core::{SaleId, Timestamp, TraceParent};
use serde::Deserialize;

use crate::dialect::Dialect;
use crate::ledger::{Backend, SqlLedger};
use crate::order::most;
use crate::tx::{End, Fault, Fields, Tx, json, parse};
use crate::value::{Rows, Value};

// Most transactions tell facts of one sale and one time: bound once.
const TELL: &str = "INSERT INTO outbox (sale, at, subject, version, kind, topic, fact) \
                    SELECT ?, ?, r.subject, r.version, r.kind, r.topic, r.fact \
                    FROM {rows subject:text version:int kind:text topic:text fact:text} r";
// The acceptance of an order is told by its own row, whose key it has: it stands in no other. All of a batch are of one kind.
const TELL_ACCEPTED: &str = "INSERT INTO outbox (version, sale, at, kind, topic, subject, fact{unkeyed-column}) \
                             SELECT 1, ?, ?, ?, ?, r.subject, r.fact{unkeyed-value} FROM {rows subject:text fact:text no:int} r";
const NUMBERS: &str =
    "SELECT string_agg(n::text, ' ') FROM (SELECT nextval('outbox_no_seq') AS n FROM generate_series(1, ?)) s";
const TELL_ONCE: &str = "INSERT INTO outbox (sale, at, subject, version, kind, topic, fact) \
                         SELECT r.sale, r.at, r.subject, r.version, r.kind, r.topic, r.fact \
                         FROM {rows subject:text version:int kind:text topic:text fact:text sale:text at:int} r{once-event}";
const HISTORY: &str = "SELECT {history}";
// Rows come in the order of time but for a few, so only the first so many are looked at: no walk over all that is kept.
const PRUNE: &str = "DELETE FROM outbox {front}";
const BURY: &str = "INSERT INTO dead_letter (consumer, event_id, reason, tries, at, event) \
                    SELECT r.consumer, r.event_id, r.reason, r.tries, r.at, r.event \
                    FROM {rows consumer:text event_id:text reason:text tries:int at:int event:text} r{once-letter}";
// A letter that was replayed and failed again must be seen again; any other repeat is the same letter.
const REPLAYED: &str = "UPDATE dead_letter SET reason = r.reason, tries = r.tries, at = r.at, event = r.event, settled = NULL \
                        FROM {rows consumer:text event_id:text reason:text tries:int at:int event:text} r \
                        WHERE dead_letter.consumer = r.consumer AND dead_letter.event_id = r.event_id \
                        AND dead_letter.settled = 'replayed'";

/// The fact as its column has it. The trace, where there is one, stands in the same object, beside `kind` and `data`: no column of its own, so
/// that a fact without one costs nothing, and rows are read whichever version wrote them.
fn column(event: &Event) -> Result<Value, Fault> {
    let mut text = serde_json::to_string(&event.fact).map_err(|why| Fault::data(why.to_string()))?;
    if let Some(trace) = event.trace {
        text.pop();
        text.push_str(&format!(",\"trace\":\"{trace}\"}}"));
    }
    Ok(text.into())
}

/// The fact and the trace of its column.
fn from_column(text: &str) -> Result<(Fact, Option<TraceParent>), Fault> {
    #[derive(Deserialize)]
    struct Beside {
        trace: Option<String>,
    }
    let fact = serde_json::from_str(text).map_err(|why| Fault::corrupt(why.to_string()))?;
    // A fact alone ends with its data, which is an object. A trace that cannot be read is none.
    let beside = if text.ends_with("}}") { None } else { serde_json::from_str::<Beside>(text).ok() };
    Ok((fact, beside.and_then(|beside| beside.trace?.parse().ok())))
}

/// What every row of a fact has.
fn row(event: &Event) -> Result<[Value; 5], Fault> {
    Ok([
        event.subject.as_str().into(),
        event.version.into(),
        event.fact.kind().into(),
        event.fact.topic().into(),
        column(event)?,
    ])
}

/// The sale and the time of the facts of one transaction; `None` without facts.
fn sale_and_time(events: &[Event]) -> Result<Option<[Value; 2]>, Fault> {
    let Some(first) = events.first() else { return Ok(None) };
    if events.iter().any(|event| event.sale != first.sale || event.time != first.time) {
        return Err(Fault::corrupt("facts of one transaction are of one sale and one time"));
    }
    Ok(Some([first.sale.as_ref().map(SaleId::as_str).into(), first.time.into()]))
}

/// Writes the facts of this transaction, all of one sale or none; each is made true only once.
pub(crate) fn tell(tx: &mut Tx<'_>, events: &[Event]) -> Result<(), Fault> {
    let Some(head) = sale_and_time(events)? else { return Ok(()) };
    let rows = events.iter().map(row).collect::<Result<Vec<_>, _>>()?;
    tx.bulk_exactly(TELL, &head, Rows(rows), &[]);
    Ok(())
}

/// The read of numbers for the facts of so many orders, where many write at a time and rows are told apart by numbers: a
/// transaction cannot know which its rows will get.
pub(crate) fn numbers(dialect: Dialect, count: usize) -> Option<(&'static str, Vec<Value>)> {
    match dialect {
        Dialect::Postgres => Some((NUMBERS, vec![most(count)])),
        Dialect::Sqlite | Dialect::MySql => None,
    }
}

/// The numbers that [`numbers`] reads.
pub(crate) fn numbered(rows: &[crate::tx::Row]) -> Result<Vec<i64>, Fault> {
    let text = rows.first().map(|row| row.fields().maybe_text().map(|text| text.unwrap_or_default().to_owned()));
    text.transpose()?.unwrap_or_default().split_whitespace().map(parse).collect()
}

/// Writes the facts of orders that this transaction accepts, all `order.accepted` at version 1, with these numbers if any were
/// taken. The rows of the orders come next and say where theirs are.
pub(crate) fn tell_accepted(tx: &mut Tx<'_>, events: &[Event], numbers: &[i64]) -> Result<(), Fault> {
    let (Some([sale, at]), Some(first)) = (sale_and_time(events)?, events.first()) else { return Ok(()) };
    let mut rows = Rows(Vec::with_capacity(events.len()));
    for (n, event) in events.iter().enumerate() {
        rows.0.push([event.subject.as_str().into(), column(event)?, numbers.get(n).copied().into()]);
    }
    let head = [sale, at, first.fact.kind().into(), first.fact.topic().into()];
    tx.bulk_exactly(TELL_ACCEPTED, &head, rows, &[]);
    Ok(())
}

/// Writes facts that may have been written before, each once.
pub(crate) fn tell_once(tx: &mut Tx<'_>, events: &[Event]) -> Result<(), Fault> {
    let mut rows = Rows(Vec::with_capacity(events.len()));
    for event in events {
        let [subject, version, kind, topic, fact] = row(event)?;
        let sale = event.sale.as_ref().map(SaleId::as_str).into();
        rows.0.push([subject, version, kind, topic, fact, sale, event.time.into()]);
    }
    tx.bulk(TELL_ONCE, &[], rows, &[]);
    Ok(())
}

fn decode(row: &mut Fields<'_>) -> Result<Event, Fault> {
    let (subject, version) = (row.text()?.to_owned(), row.bits()?);
    let (sale, time) = (row.maybe_id()?, row.time()?);
    let (fact, trace) = from_column(row.text()?)?;
    Ok(Event { subject, version, sale, time, fact, trace })
}

async fn unsent(mut tx: Tx<'_>, after: u64, limit: Value) -> Result<Vec<(OutboxNo, Event)>, Fault> {
    let text = "SELECT no, subject, version, sale, at, fact FROM outbox WHERE sent = 0 AND no > ? ORDER BY no LIMIT ?";
    // A number above all others is none that a row has.
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let rows = tx.rows(text, vec![after.into(), limit]).await?;
    let one = |row: &crate::tx::Row| {
        let mut row = row.fields();
        Ok((OutboxNo(row.bits()?), decode(&mut row)?))
    };
    rows.iter().map(one).collect()
}

async fn sent(mut tx: Tx<'_>, rows: Vec<OutboxNo>) -> Result<End<()>, Fault> {
    let numbers = Value::numbers(rows.iter().map(|no| no.0.cast_signed()));
    tx.write("UPDATE outbox SET sent = 1 WHERE no {in} AND sent = 0", vec![numbers]);
    Ok(End::Commit(()))
}

async fn put(mut tx: Tx<'_>, events: Arc<[Event]>) -> Result<End<()>, Fault> {
    tell_once(&mut tx, &events)?;
    Ok(End::Commit(()))
}

async fn history(mut tx: Tx<'_>, subject: String) -> Result<Vec<Event>, Fault> {
    let rows = tx.rows(HISTORY, vec![subject.into()]).await?;
    rows.iter().map(|row| decode(&mut row.fields())).collect()
}

async fn prune(mut tx: Tx<'_>, before: Timestamp, limit: usize) -> Result<End<usize>, Fault> {
    let deleted = tx.run(PRUNE, vec![before.into(), most(limit)]).await?;
    Ok(End::Commit(usize::try_from(deleted).unwrap_or(usize::MAX)))
}

#[async_trait]
impl<D: Backend> Outbox for SqlLedger<D> {
    async fn unsent(&self, after: Option<OutboxNo>, limit: usize) -> Result<Vec<(OutboxNo, Event)>, BackendError> {
        let after = after.map_or(0, |no| no.0);
        self.look("outbox.unsent", move |tx| Box::pin(unsent(tx, after, most(limit)))).await
    }

    async fn sent(&self, rows: &[OutboxNo]) -> Result<(), BackendError> {
        let rows = rows.to_vec();
        self.write("outbox.sent", move |tx| Box::pin(sent(tx, rows.clone()))).await
    }

    async fn put(&self, events: &[Event]) -> Result<(), BackendError> {
        let events: Arc<[Event]> = events.into();
        self.write("outbox.put", move |tx| Box::pin(put(tx, events.clone()))).await
    }

    async fn history(&self, subject: &str) -> Result<Vec<Event>, BackendError> {
        let subject = subject.to_owned();
        self.look("outbox.history", move |tx| Box::pin(history(tx, subject.clone()))).await
    }

    async fn prune(&self, before: Timestamp, limit: usize) -> Result<usize, BackendError> {
        self.write("outbox.prune", move |tx| Box::pin(prune(tx, before, limit))).await
    }
}

fn decode_letter(row: &mut Fields<'_>) -> Result<DeadLetter, Fault> {
    Ok(DeadLetter {
        consumer: row.text()?.to_owned(),
        reason: row.text()?.to_owned(),
        tries: row.number()?,
        at: row.time()?,
        event: row.json()?,
    })
}

async fn bury(mut tx: Tx<'_>, letters: Arc<[DeadLetter]>) -> Result<End<()>, Fault> {
    let mut rows = Vec::with_capacity(letters.len());
    for letter in &*letters {
        rows.push([
            letter.consumer.as_str().into(),
            letter.event.id().into(),
            letter.reason.as_str().into(),
            letter.tries.into(),
            letter.at.into(),
            json(&letter.event)?,
        ]);
    }
    tx.bulk(REPLAYED, &[], Rows(rows.clone()), &[]);
    tx.bulk(BURY, &[], Rows(rows), &[]);
    Ok(End::Commit(()))
}

async fn letters(mut tx: Tx<'_>, limit: Value) -> Result<Vec<DeadLetter>, Fault> {
    let text =
        "SELECT consumer, reason, tries, at, event FROM dead_letter WHERE settled IS NULL ORDER BY at, no LIMIT ?";
    let rows = tx.rows(text, vec![limit]).await?;
    rows.iter().map(|row| decode_letter(&mut row.fields())).collect()
}

/// The reason of a discarded letter stands below that of the letter, in the column of both: it is one line.
fn decode_settled(row: &mut Fields<'_>) -> Result<(DeadLetter, Option<Replay>), Fault> {
    let mut letter = decode_letter(row)?;
    let settled = match row.maybe_text()? {
        None => None,
        Some("replayed") => Some(Replay::Replayed),
        Some("discarded") => {
            let (reason, why) =
                letter.reason.rsplit_once('\n').ok_or_else(|| Fault::corrupt("no reason to discard"))?;
            let why = Why::new(why).map_err(|why| Fault::corrupt(why.to_string()))?;
            letter.reason = reason.to_owned();
            Some(Replay::Discarded(why))
        }
        Some(other) => return Err(Fault::corrupt(format!("a letter that is {other}"))),
    };
    Ok((letter, settled))
}

async fn letter(
    mut tx: Tx<'_>,
    consumer: String,
    event: String,
) -> Result<Option<(DeadLetter, Option<Replay>)>, Fault> {
    let text =
        "SELECT consumer, reason, tries, at, event, settled FROM dead_letter WHERE consumer = ? AND event_id = ?";
    let row = tx.row(text, vec![consumer.into(), event.into()]).await?;
    row.map(|row| decode_settled(&mut row.fields())).transpose()
}

async fn settle(
    mut tx: Tx<'_>,
    consumer: String,
    event: String,
    how: Replay,
) -> Result<End<Option<DeadLetter>>, Fault> {
    let name = vec![Value::from(consumer), Value::from(event)];
    let text = "SELECT consumer, reason, tries, at, event FROM dead_letter \
                WHERE consumer = ? AND event_id = ? AND settled IS NULL{lock}";
    let Some(row) = tx.row(text, name.clone()).await? else { return Ok(End::Nothing(None)) };
    let letter = decode_letter(&mut row.fields())?;
    let (word, reason) = match how {
        Replay::Replayed => ("replayed", letter.reason.clone()),
        Replay::Discarded(why) => ("discarded", format!("{}\n{}", letter.reason, why.as_str())),
    };
    let values = [vec![word.into(), reason.into()], name].concat();
    tx.write_one("UPDATE dead_letter SET settled = ?, reason = ? WHERE consumer = ? AND event_id = ?", values);
    Ok(End::Commit(Some(letter)))
}

#[async_trait]
impl<D: Backend> DeadLetters for SqlLedger<D> {
    async fn bury(&self, buried: &[DeadLetter]) -> Result<(), BackendError> {
        let buried: Arc<[DeadLetter]> = buried.into();
        self.write("dead.bury", move |tx| Box::pin(bury(tx, buried.clone()))).await
    }

    async fn letters(&self, limit: usize) -> Result<Vec<DeadLetter>, BackendError> {
        self.look("dead.letters", move |tx| Box::pin(letters(tx, most(limit)))).await
    }

    async fn letter(&self, consumer: &str, event: &str) -> Result<Option<(DeadLetter, Option<Replay>)>, BackendError> {
        let (consumer, event) = (consumer.to_owned(), event.to_owned());
        self.look("dead.letter", move |tx| Box::pin(letter(tx, consumer.clone(), event.clone()))).await
    }

    async fn settle(&self, consumer: &str, event: &str, how: Replay) -> Result<Option<DeadLetter>, BackendError> {
        let (consumer, event) = (consumer.to_owned(), event.to_owned());
        self.write("dead.settle", move |tx| Box::pin(settle(tx, consumer.clone(), event.clone(), how.clone()))).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(trace: Option<TraceParent>) -> Event {
        let fact = Fact::SaleChanged { what: "to \"trace\":\"x\"}".to_owned() };
        Event { subject: "drop".to_owned(), version: 2, sale: None, time: Timestamp::from_ms(1), fact, trace }
    }

    fn text(event: &Event) -> String {
        match column(event).expect("JSON") {
            Value::Text(text) => text.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_trace_stands_beside_the_fact_and_a_fact_without_one_is_as_it_was() {
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().ok();
        let (with, without) = (event(trace), event(None));
        assert_eq!(text(&without), serde_json::to_string(&without.fact).unwrap());
        assert_eq!(from_column(&text(&without)).unwrap(), (without.fact.clone(), None));
        assert_eq!(from_column(&text(&with)).unwrap(), (with.fact.clone(), trace));
        // An older program skips what it does not know.
        assert_eq!(serde_json::from_str::<Fact>(&text(&with)).unwrap(), with.fact);
    }

    #[test]
    fn a_trace_that_cannot_be_read_is_none() {
        for bad in ["\"00-1-2-3\"", "7", "null", "{\"a\":1}"] {
            let row = format!("{{\"kind\":\"sale.paused\",\"data\":{{}},\"trace\":{bad}}}");
            assert_eq!(from_column(&row).unwrap(), (Fact::SalePaused {}, None), "{bad}");
        }
    }
}
