//! What a step of a noun sees of the database: statements in, rows out, inside one transaction.
//!
//! Owns the thin layer that keeps driver types out of the noun files, and the counter of statements. Does not own
//! beginning, committing and retrying: those are in [`sqlite`](crate::sqlite).

use std::sync::atomic::{AtomicU64, Ordering};

use flashsale_core::error::{BackendError, ErrorKind};
use flashsale_core::{Event, Timestamp};

use crate::dialect::{Rows, Texts, Value};
use crate::sqlite::{Driver, DriverRow, Hook};

/// How a step ends that did not fail.
#[derive(Debug)]
pub(crate) enum End<T> {
    /// Something was written: commit, then answer.
    Commit(T),
    /// Nothing is to be kept: roll back, then answer.
    Nothing(T),
}

/// Why a step failed. The transaction is rolled back.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The database said so.
    Driver(sqlx::Error),
    /// The answer to COMMIT was lost, or says neither yes nor no.
    Commit(sqlx::Error),
    /// A step found what it cannot work with.
    Found(ErrorKind, String),
    /// A hook of the embedder failed.
    Hook(&'static str, Box<dyn std::error::Error + Send + Sync>),
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Driver(error)
    }
}

impl Fault {
    /// Rows contradict what they must be.
    pub(crate) fn corrupt(why: impl Into<String>) -> Self {
        Self::Found(ErrorKind::Corrupt, why.into())
    }

    /// The data of this call cannot be written.
    pub(crate) fn data(why: impl Into<String>) -> Self {
        Self::Found(ErrorKind::Data, why.into())
    }

    /// The failure as a port tells it.
    pub(crate) fn told(self, operation: &'static str) -> BackendError {
        match self {
            Self::Driver(error) => BackendError::new(crate::sqlite::kind(&error), operation, error),
            Self::Commit(error) => BackendError::unknown(operation, error),
            Self::Found(kind, why) => BackendError::new(kind, operation, why),
            Self::Hook(name, error) => {
                tracing::error!(operation, hook = name, %error, "an enlisted hook failed; the batch was rolled back");
                BackendError::unavailable(operation, format!("the enlisted hook {name} failed: {error}"))
            }
        }
    }
}

/// Whether the transaction has the write lock already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    /// It was begun with it.
    Held,
    /// It is somebody else's transaction: the first statement has to take it.
    Take,
}

/// A statement that waits to be sent.
#[derive(Debug)]
struct Statement {
    template: &'static str,
    /// For how many rows its text is.
    rows: usize,
    values: Vec<Value>,
    /// How many values its text binds; what is missing at the end is null.
    binds: usize,
    /// How many rows it must write.
    exactly: Option<u64>,
}

impl Statement {
    fn new(template: &'static str, values: Vec<Value>) -> Self {
        Self { template, rows: 0, binds: values.len(), values, exactly: None }
    }
}

/// Writes that wait to be sent: with the next read, before a hook, or before the commit.
#[derive(Debug, Default)]
pub(crate) struct Pending(Vec<Statement>);

/// One transaction, as a step sees it.
///
/// Writes are sent together, because each journey to the database and back costs as much as a small statement itself. A
/// step does not see their outcome: one that is not as expected fails what is sent with it, and the transaction.
#[derive(Debug)]
pub(crate) struct Tx<'t> {
    pub(crate) driver: Driver<'t>,
    pub(crate) pending: &'t mut Pending,
    pub(crate) texts: &'t Texts,
    pub(crate) sent: &'t AtomicU64,
    pub(crate) hooks: &'t [Hook],
    pub(crate) now: Timestamp,
    pub(crate) lock: Lock,
}

impl Tx<'_> {
    /// The ledger's time, read once the lock was had.
    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    /// Reads rows with each of these statements, in one journey.
    pub(crate) async fn read<const N: usize>(
        &mut self,
        reads: [(&'static str, Vec<Value>); N],
    ) -> Result<[Vec<Row>; N], Fault> {
        let reads = reads.into_iter().map(|(template, values)| Statement::new(template, values));
        let mut replies = self.send(reads.collect()).await?;
        let last = replies.split_off(replies.len().saturating_sub(N));
        let rows: Vec<Vec<Row>> = last.into_iter().map(|reply| reply.rows.into_iter().map(Row).collect()).collect();
        rows.try_into().map_err(|_| Fault::corrupt("a read has no reply"))
    }

    /// Reads rows.
    pub(crate) async fn rows(&mut self, template: &'static str, values: Vec<Value>) -> Result<Vec<Row>, Fault> {
        let [rows] = self.read([(template, values)]).await?;
        Ok(rows)
    }

    /// Reads one row or none.
    pub(crate) async fn row(&mut self, template: &'static str, values: Vec<Value>) -> Result<Option<Row>, Fault> {
        Ok(self.rows(template, values).await?.pop())
    }

    /// Writes at once; tells how many rows.
    pub(crate) async fn run(&mut self, template: &'static str, values: Vec<Value>) -> Result<u64, Fault> {
        let replies = self.send(vec![Statement::new(template, values)]).await?;
        Ok(replies.last().map_or(0, |reply| reply.wrote))
    }

    /// Writes some rows or none.
    pub(crate) fn write(&mut self, template: &'static str, values: Vec<Value>) {
        self.pending.0.push(Statement::new(template, values));
    }

    /// Writes one row; more or none is a failure.
    pub(crate) fn write_one(&mut self, template: &'static str, values: Vec<Value>) {
        self.pending.0.push(Statement { exactly: Some(1), ..Statement::new(template, values) });
    }

    /// Writes rows in bulk; `head` and `tail` are bound before and after them.
    ///
    /// One statement, as long as they fit into one; none without rows.
    pub(crate) fn bulk<const N: usize>(
        &mut self,
        template: &'static str,
        head: &[Value],
        rows: Rows<N>,
        tail: &[Value],
    ) {
        let dialect = self.texts.dialect();
        let mut rows = rows.0;
        while !rows.is_empty() {
            let later = rows.split_off(rows.len().min(dialect.rows_max(N)));
            let padded = dialect.padded(rows.len());
            let binds = head.len() + padded * N + tail.len();
            let mut values = Vec::with_capacity(binds);
            values.extend_from_slice(head);
            values.extend(rows.into_iter().flatten());
            if !tail.is_empty() {
                values.resize(head.len() + padded * N, Value::Null);
                values.extend_from_slice(tail);
            }
            self.pending.0.push(Statement { template, rows: padded, values, binds, exactly: None });
            rows = later;
        }
    }

    /// As [`Tx::bulk`]; it is a failure if not every row is written.
    pub(crate) fn bulk_exactly<const N: usize>(
        &mut self,
        template: &'static str,
        head: &[Value],
        rows: Rows<N>,
        tail: &[Value],
    ) {
        let (first, mut left) = (self.pending.0.len(), rows.len());
        self.bulk(template, head, rows, tail);
        for statement in &mut self.pending.0[first..] {
            let here = left.min(self.texts.dialect().rows_max(N) as u64);
            statement.exactly = Some(here);
            left -= here;
        }
    }

    /// Lets the embedder write rows of his own, in this transaction.
    pub(crate) async fn enlisted(&mut self, events: &[Event]) -> Result<(), Fault> {
        if !self.hooks.is_empty() {
            self.send(vec![]).await?;
        }
        for hook in self.hooks {
            hook.call(&mut self.driver, events).await.map_err(|error| Fault::Hook(hook.name(), error))?;
        }
        Ok(())
    }

    /// Sends what still waits.
    pub(crate) async fn flush(mut self) -> Result<(), Fault> {
        self.send(vec![]).await.map(drop)
    }

    /// Sends what waits and then these, in one journey; tells the reply of each.
    async fn send(&mut self, then: Vec<Statement>) -> Result<Vec<Reply>, Fault> {
        let mut statements = std::mem::take(&mut self.pending.0);
        statements.extend(then);
        let count = statements.len();
        if count == 0 {
            return Ok(vec![]);
        }
        self.sent.fetch_add(count as u64, Ordering::Relaxed);
        let (mut text, mut values, mut bound) = (String::new(), Vec::new(), 0);
        let mut checks = Vec::with_capacity(count);
        for Statement { template, rows, values: own, binds, exactly } in statements {
            if !text.is_empty() {
                text.push_str(";\n");
            }
            text.push_str(&self.texts.text(template, rows));
            // What the statement before left out is null.
            values.resize(bound, Value::Null);
            values.extend(own);
            bound += binds;
            checks.push((template, exactly));
        }
        let replies = self.driver.send(text, values).await?;
        if replies.len() != count {
            return Err(Fault::corrupt(format!("{} replies to {count} statements", replies.len())));
        }
        for (reply, (template, exactly)) in replies.iter().zip(checks) {
            // A tripwire, not the decision.
            if let Some(expected) = exactly.filter(|expected| *expected != reply.wrote) {
                return Err(Fault::corrupt(format!("{} rows instead of {expected}: {template}", reply.wrote)));
            }
        }
        Ok(replies)
    }
}

/// What a statement answered.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    pub(crate) rows: Vec<DriverRow>,
    /// How many rows it wrote; without meaning for one that reads.
    pub(crate) wrote: u64,
}

/// A row that was read.
#[derive(Debug)]
pub(crate) struct Row(DriverRow);

impl Row {
    /// Its fields, in the order of the SELECT.
    pub(crate) fn fields(&self) -> Fields<'_> {
        Fields { row: &self.0, at: 0 }
    }
}

/// The fields of a row, taken one after another.
#[derive(Debug)]
pub(crate) struct Fields<'r> {
    row: &'r DriverRow,
    at: usize,
}

impl<'r> Fields<'r> {
    fn next(&mut self) -> usize {
        self.at += 1;
        self.at - 1
    }

    pub(crate) fn maybe_int(&mut self) -> Result<Option<i64>, Fault> {
        let at = self.next();
        Ok(self.row.int(at)?)
    }

    pub(crate) fn maybe_text(&mut self) -> Result<Option<&'r str>, Fault> {
        let at = self.next();
        Ok(self.row.text(at)?)
    }

    pub(crate) fn int(&mut self) -> Result<i64, Fault> {
        self.maybe_int()?.ok_or_else(|| Fault::corrupt("a number is missing"))
    }

    pub(crate) fn text(&mut self) -> Result<&'r str, Fault> {
        self.maybe_text()?.ok_or_else(|| Fault::corrupt("a text is missing"))
    }

    /// 64 bits without a sign.
    pub(crate) fn bits(&mut self) -> Result<u64, Fault> {
        Ok(self.int()?.cast_unsigned())
    }

    /// A number within the bounds of its type.
    pub(crate) fn number<T: TryFrom<i64>>(&mut self) -> Result<T, Fault> {
        let stored = self.int()?;
        T::try_from(stored).map_err(|_| Fault::corrupt(format!("{stored} is out of bounds")))
    }

    /// A number that our own type checks, such as an amount.
    pub(crate) fn checked<T: TryFrom<u64, Error: std::fmt::Display>>(&mut self) -> Result<T, Fault> {
        T::try_from(self.number::<u64>()?).map_err(|why| Fault::corrupt(why.to_string()))
    }

    pub(crate) fn time(&mut self) -> Result<Timestamp, Fault> {
        Ok(Timestamp::from_ms(self.int()?))
    }

    pub(crate) fn maybe_time(&mut self) -> Result<Option<Timestamp>, Fault> {
        Ok(self.maybe_int()?.map(Timestamp::from_ms))
    }

    /// A text that our own type checks, such as an id.
    pub(crate) fn id<T: std::str::FromStr<Err: std::fmt::Display>>(&mut self) -> Result<T, Fault> {
        parse(self.text()?)
    }

    pub(crate) fn maybe_id<T: std::str::FromStr<Err: std::fmt::Display>>(&mut self) -> Result<Option<T>, Fault> {
        self.maybe_text()?.map(parse).transpose()
    }

    /// A word of a closed list.
    pub(crate) fn word<T>(&mut self, from_code: impl Fn(&str) -> Option<T>) -> Result<T, Fault> {
        let word = self.text()?;
        from_code(word).ok_or_else(|| Fault::corrupt(format!("nobody knows the word {word}")))
    }

    /// JSON of one of our types.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, Fault> {
        serde_json::from_str(self.text()?).map_err(|why| Fault::corrupt(why.to_string()))
    }
}

pub(crate) fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, Fault> {
    text.parse().map_err(|why: T::Err| Fault::corrupt(format!("{text}: {why}")))
}

/// One of our types as JSON.
pub(crate) fn json<T: serde::Serialize>(value: &T) -> Result<Value, Fault> {
    serde_json::to_string(value).map(Value::from).map_err(|why| Fault::data(why.to_string()))
}
