//! What a step of a noun sees of the database: statements in, rows out, inside one transaction.
//!
//! Owns the thin layer that keeps driver types out of the noun files. Does not own beginning, committing and retrying: those
//! are in [`ledger`](crate::ledger).

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use flashsale_core::error::{BackendError, ErrorKind};
use flashsale_core::{Clock, Event, Timestamp};

use crate::dialect::{Dialect, Purpose, Texts};
use crate::driver::{Driver, DriverRow, Hook};
use crate::value::{Rows, Value};

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
pub enum Fault {
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
            Self::Driver(error) => BackendError::new(crate::error::kind(&error), operation, error),
            Self::Commit(error) => BackendError::unknown(operation, error),
            Self::Found(kind, why) => BackendError::new(kind, operation, why),
            Self::Hook(name, error) => {
                tracing::error!(operation, hook = name, %error, "an enlisted hook failed; the batch was rolled back");
                BackendError::unavailable(operation, format!("the enlisted hook {name} failed: {error}"))
            }
        }
    }
}

/// What a step may do, and how it gets the lock of the sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// It reads, without a lock.
    Look,
    /// It writes, in a transaction of ours.
    Write,
    /// It writes, in somebody else's transaction.
    Theirs,
}

impl Access {
    fn purpose(self) -> Purpose {
        match self {
            Self::Look => Purpose::Read,
            Self::Write | Self::Theirs => Purpose::Write,
        }
    }
}

/// A statement that waits to be sent.
#[derive(Debug)]
struct Statement {
    template: &'static str,
    /// For which size its text is.
    size: usize,
    values: Vec<Value>,
    /// How many values its text binds; what is missing at the end is null.
    binds: usize,
    /// How many rows it must write.
    exactly: Option<u64>,
}

impl Statement {
    fn new(texts: &Texts, template: &'static str, values: Vec<Value>) -> Self {
        let (values, size) = texts.dialect().bound(values);
        Self { template, size, binds: values.len(), values, exactly: None }
    }

    fn effect(&self) -> Effect {
        let mut words = self.template.split_whitespace();
        match words.next() {
            Some("UPDATE") => Effect::Changes(words.next().unwrap_or_default()),
            Some("DELETE") => Effect::Changes(words.nth(1).unwrap_or_default()),
            Some("INSERT") => Effect::Inserts(words.nth(1).unwrap_or_default()),
            _ if self.template.contains("{lock}") => Effect::Locks,
            _ => Effect::Reads,
        }
    }
}

/// What a statement does: some may travel together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "only there statements are joined"))]
pub(crate) enum Effect {
    /// It reads what is there.
    Reads,
    /// It reads and locks: what is read with it would be of the moment before the wait.
    Locks,
    /// It adds rows to this table.
    Inserts(&'static str),
    /// It changes rows of this table.
    Changes(&'static str),
}

/// A statement as it is sent.
#[derive(Debug)]
pub(crate) struct Sending {
    pub(crate) text: Arc<str>,
    pub(crate) values: Vec<Value>,
    /// How many values its text binds; what is missing at the end is null.
    #[cfg_attr(not(feature = "sqlite"), allow(dead_code, reason = "only there rows are padded"))]
    pub(crate) binds: usize,
    pub(crate) effect: Effect,
}

/// Writes that wait to be sent: with the next read, before a hook, or before the commit.
#[derive(Debug, Default)]
pub(crate) struct Pending(Vec<Statement>);

/// One transaction, as a step sees it.
///
/// Writes are sent together, because each journey to the database and back costs as much as a small statement itself. A
/// step does not see their outcome: one that is not as expected fails what is sent with it, and the transaction.
pub(crate) struct Tx<'t> {
    pub(crate) driver: Driver<'t>,
    pub(crate) pending: &'t mut Pending,
    pub(crate) texts: &'t Texts,
    pub(crate) sent: &'t AtomicU64,
    pub(crate) hooks: &'t [Hook],
    pub(crate) clock: &'t dyn Clock,
    pub(crate) now: Timestamp,
    pub(crate) access: Access,
}

impl std::fmt::Debug for Tx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tx").field("access", &self.access).field("pending", &self.pending).finish_non_exhaustive()
    }
}

impl Tx<'_> {
    /// Which database this is.
    pub(crate) fn dialect(&self) -> Dialect {
        self.texts.dialect()
    }

    /// The ledger's time, read once the lock was had.
    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    /// Reads rows with each of these statements, in one journey.
    pub(crate) async fn read<const N: usize>(
        &mut self,
        reads: [(&'static str, Vec<Value>); N],
    ) -> Result<[Vec<Row>; N], Fault> {
        let texts = self.texts;
        let reads = reads.into_iter().map(|(template, values)| Statement::new(texts, template, values));
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
        let replies = self.send(vec![Statement::new(self.texts, template, values)]).await?;
        Ok(replies.last().map_or(0, |reply| reply.wrote))
    }

    /// Writes some rows or none.
    pub(crate) fn write(&mut self, template: &'static str, values: Vec<Value>) {
        self.pending.0.push(Statement::new(self.texts, template, values));
    }

    /// Writes one row; more or none is a failure.
    pub(crate) fn write_one(&mut self, template: &'static str, values: Vec<Value>) {
        self.pending.0.push(Statement { exactly: Some(1), ..Statement::new(self.texts, template, values) });
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
            let (values, binds, size) = dialect.bound_rows(template, head, rows, tail);
            self.pending.0.push(Statement { template, size, values, binds, exactly: None });
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

    fn text(&self, statement: &Statement) -> Arc<str> {
        self.texts.text(statement.template, statement.size, self.access.purpose())
    }

    /// Sends what waits and then these, in one journey; tells the reply of each.
    async fn send(&mut self, then: Vec<Statement>) -> Result<Vec<Reply>, Fault> {
        let mut statements = std::mem::take(&mut self.pending.0);
        statements.extend(then);
        let count = statements.len();
        if count == 0 {
            return Ok(vec![]);
        }
        let (mut sending, mut checks) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for statement in statements {
            let (text, effect) = (self.text(&statement), statement.effect());
            let Statement { template, values, binds, exactly, .. } = statement;
            sending.push(Sending { text, values, binds, effect });
            checks.push((template, exactly));
        }
        let locks = sending.iter().any(|statement| statement.effect == Effect::Locks);
        let replies = self.driver.send(sending, self.sent).await?;
        if locks {
            // It may have waited.
            self.now = self.clock.now();
        }
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

impl From<DriverRow> for Row {
    fn from(row: DriverRow) -> Self {
        Self(row)
    }
}

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
