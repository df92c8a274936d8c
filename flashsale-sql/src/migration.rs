//! The schema: its steps in order, which of them a database has, and how they are run.
//!
//! A step is plain SQL that any tool can run. It begins by writing its number into `flashsale_schema` with `done = 0` and ends by setting
//! that to 1: what is there, and what is half there, is told by that table, whoever ran it. Does not own the waiting for a turn, which
//! is in the file of each database.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use flashsale_core::error::ErrorKind;

use crate::error::{Meaning, meaning};
use crate::ledger::{Backend, Conn};
use crate::tx::{Effect, Fault, Row, Sending};

/// How long a node waits for another one that migrates.
#[cfg_attr(not(any(feature = "sqlite", feature = "mysql")), allow(dead_code, reason = "PostgreSQL is told in words"))]
pub(crate) const TURN: Duration = Duration::from_secs(60);

/// One step of the schema, as the file of its name in `migrations/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// Its number, from 1 without a gap.
    pub version: i64,
    /// What it makes.
    pub name: &'static str,
    /// Its statements: plain SQL without placeholders.
    pub text: &'static str,
}

impl Migration {
    /// The statements one by one, for a tool that takes one at a time; without what ends them.
    #[must_use]
    pub fn statements(&self) -> Vec<&'static str> {
        let (mut statements, mut begun) = (Vec::new(), 0);
        let (mut quoted, mut comment) = (None, false);
        let bytes = self.text.as_bytes();
        for (at, &byte) in bytes.iter().enumerate() {
            match (byte, quoted) {
                (b'\n', _) if comment => comment = false,
                _ if comment => {}
                (quote, Some(open)) if quote == open => quoted = None,
                (_, Some(_)) => {}
                (b'\'' | b'"' | b'`', None) => quoted = Some(byte),
                (b'-', None) if bytes.get(at + 1) == Some(&b'-') => comment = true,
                (b';', None) => {
                    statements.push(self.text[begun..at].trim());
                    begun = at + 1;
                }
                _ => {}
            }
        }
        statements
    }
}

/// What a database has of the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// Every step up to this one; 0: nothing.
    Version(i64),
    /// A step that was begun and not ended.
    Half(i64),
}

async fn rows<D: Backend>(connection: &mut Conn<D>, text: &'static str) -> Result<Vec<Row>, Fault> {
    let statement = Sending { text: text.into(), values: vec![], binds: 0, effect: Effect::Reads };
    let replies = D::driver(connection).send(vec![statement], &AtomicU64::new(0)).await?;
    Ok(replies.into_iter().flat_map(|reply| reply.rows).map(Row::from).collect())
}

async fn found<D: Backend>(connection: &mut Conn<D>) -> Result<Found, Fault> {
    let tables = rows::<D>(connection, D::HAS_SCHEMA).await?;
    if tables.first().map(|row| row.fields().int()).transpose()? != Some(1) {
        return Ok(Found::Version(0));
    }
    let rows = rows::<D>(connection, "SELECT version, done FROM flashsale_schema ORDER BY version").await?;
    let pair = |row: &Row| {
        let mut fields = row.fields();
        Ok((fields.int()?, fields.int()?))
    };
    let rows = rows.iter().map(pair).collect::<Result<Vec<(i64, i64)>, Fault>>()?;
    let half = rows.iter().find(|(_, done)| *done == 0);
    Ok(match (half, rows.last()) {
        (Some((version, _)), _) => Found::Half(*version),
        (None, Some((version, _))) => Found::Version(*version),
        // Made, and the first number was not written any more.
        (None, None) => Found::Half(1),
    })
}

fn misconfigured<T>(why: String) -> Result<T, Fault> {
    Err(Fault::Found(ErrorKind::Misconfigured, why))
}

/// The version that a database has, if steps up to `last` can go on from it.
fn whole(found: Found, last: i64) -> Result<i64, Fault> {
    match found {
        Found::Version(version) if version <= last => Ok(version),
        Found::Version(version) => misconfigured(format!(
            "the schema has version {version}, and this program knows {last} at most: run the program that made it, or put back the copy \
             from before"
        )),
        Found::Half(version) => misconfigured(format!(
            "step {version} of the schema was begun and did not come to its end; if no other node is at it now, put back the copy from \
             before it (without rows: drop the tables), or run the statements that are missing by hand: the last of the file sets done = 1"
        )),
    }
}

/// Fails unless a database has these steps, all and no others.
pub(crate) async fn check<D: Backend>(connection: &mut Conn<D>, steps: &[Migration]) -> Result<(), Fault> {
    let last = steps.last().map_or(0, |step| step.version);
    match whole(found::<D>(connection).await?, last)? {
        version if version == last => Ok(()),
        version => misconfigured(format!(
            "the schema has version {version}, this program works with {last}: call migrate, or run the files from {} on with your tool",
            version + 1
        )),
    }
}

/// Runs the steps that a database does not have, when nobody else does. Where it fails, the connection is to be closed.
pub(crate) async fn run<D: Backend>(connection: &mut Conn<D>, steps: &[Migration]) -> Result<(), Fault> {
    let last = steps.last().map_or(0, |step| step.version);
    D::begin_migrating(connection).await?;
    let version = whole(found::<D>(connection).await?, last)?;
    for step in steps.iter().filter(|step| step.version > version) {
        for statement in step.statements() {
            let ran = D::driver(connection).execute(statement).await;
            ran.map_err(|error| failed(step, statement, error))?;
        }
        tracing::info!(version = step.version, name = step.name, "the schema was brought on by one step");
    }
    D::driver(connection).execute(D::END_MIGRATING).await.map_err(Fault::from)
}

fn failed(step: &Migration, statement: &str, error: sqlx::Error) -> Fault {
    match meaning(&error) {
        Meaning::Busy | Meaning::Lost | Meaning::Unavailable => Fault::Driver(error),
        _ => {
            let (version, name) = (step.version, step.name);
            let says = |line: &&str| !line.trim_start().starts_with("--") && !line.trim().is_empty();
            let line = statement.lines().find(says).unwrap_or_default();
            Fault::Found(ErrorKind::Misconfigured, format!("step {version} of the schema ({name}) at {line}: {error}"))
        }
    }
}
