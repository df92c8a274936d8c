//! PostgreSQL: its sessions, how its statements are sent, and what its errors mean.
//!
//! Owns nothing of a transaction's course, which is in [`ledger`](crate::ledger), and no statement of a noun.
//!
//! A journey to the server costs more than a small statement, so statements of one kind travel together: reads as one `UNION
//! ALL` of records, writes as one statement of several `WITH` parts. The lock of the sale stays alone: a statement that waits for it
//! would read with the view from before the wait.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flashsale_core::error::{BackendError, ErrorKind};
use sqlx::postgres::types::Oid;
use sqlx::postgres::{
    PgArgumentBuffer, PgArguments, PgConnectOptions, PgConnection, PgDatabaseError, PgPoolOptions, PgRow, PgTypeInfo,
};
use sqlx::{Arguments, AssertSqlSafe, ConnectOptions, Executor, Postgres, Row};

use crate::dialect::Dialect;
use crate::driver::{Driver, DriverRow};
use crate::error::Meaning;
use crate::ledger::sealed::{Engine, Mode, Sessions, Writers};
use crate::ledger::{Backend, BoxFuture, SqlLedger};
use crate::migration::Migration;
use crate::tx::{Effect, Fault, Reply, Sending};
use crate::value::Value;

/// Every ledger in a database of PostgreSQL, 13 or later.
pub type PostgresLedger = SqlLedger<Postgres>;

/// Connections of [`PostgresLedger::open`]: sales are locked one by one, so a few write at a time.
const CONNECTIONS: u32 = 8;
/// How long a caller waits for one of them.
const ACQUIRE: Duration = Duration::from_secs(5);
/// Statements kept prepared per connection: a few dozen, and what travels together is a text of its own.
const STATEMENTS: usize = 256;

/// What sessions of ours are set to. A node that stands still must not hold a sale; nobody waits for a lock for longer than a request.
///
/// Every statement of ours finds its rows by a key. Statistics of tables that were empty when they were gathered, or of a
/// fresh database that has none, say that reading them whole is cheaper, or all of a range to sort it; a plan made then is kept while
/// the sale grows.
const SETTINGS: [(&str, &str); 7] = [
    ("default_transaction_isolation", "read committed"),
    ("lock_timeout", "1s"),
    ("idle_in_transaction_session_timeout", "10s"),
    ("statement_timeout", "10s"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("jit", "off"),
];

impl SqlLedger<Postgres> {
    /// Opens a database of our own, or a schema with `?options[search_path]=..`: sets its sessions up, migrates it.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if it cannot be reached, [`ErrorKind::Misconfigured`] if it cannot keep what is promised.
    pub async fn open(url: &str) -> Result<Self, BackendError> {
        let failed = |error: sqlx::Error| Fault::Driver(error).told("ledger.open_url");
        let options = PgConnectOptions::from_str(url).map_err(failed)?;
        let options = options.options(SETTINGS).statement_cache_capacity(STATEMENTS).disable_statement_logging();
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(ACQUIRE);
        // A dead connection is told by its first statement, and the transaction is begun again.
        let pool = pool.test_before_acquire(false).connect_with(options).await.map_err(failed)?;
        let ledger = Self::over(pool.clone(), pool, Sessions::Ours);
        ledger.migrate().await?;
        Ok(ledger)
    }
}

impl Backend for Postgres {}

impl Engine for Postgres {
    const DIALECT: Dialect = Dialect::Postgres;
    const WRITERS: Writers = Writers::Many;
    const MIGRATIONS: &'static [Migration] = &[
        Migration { version: 1, name: "ledger", text: include_str!("../migrations/postgres/0001_ledger.sql") },
        Migration { version: 2, name: "notice", text: include_str!("../migrations/postgres/0002_notice.sql") },
        Migration { version: 3, name: "waitlist", text: include_str!("../migrations/postgres/0003_waitlist.sql") },
        Migration {
            version: 4,
            name: "payment_line",
            text: include_str!("../migrations/postgres/0004_payment_line.sql"),
        },
    ];
    // A read of the catalogue itself: what a name stands for is remembered in a session, also over the wait for a turn.
    const HAS_SCHEMA: &'static str = "SELECT count(*) FROM pg_catalog.pg_class WHERE relname = 'flashsale_schema' \
                                      AND relkind IN ('r', 'p') AND pg_catalog.pg_table_is_visible(oid)";
    const END_MIGRATING: &'static str = "COMMIT";

    fn driver(connection: &mut PgConnection) -> Driver<'_> {
        Driver::Postgres(connection)
    }

    fn connection<'a>(driver: &'a mut Driver<'_>) -> &'a mut PgConnection {
        match driver {
            Driver::Postgres(connection) => connection,
            #[allow(unreachable_patterns, reason = "other databases have their features")]
            _ => unreachable!("a ledger has connections of one database"),
        }
    }

    fn begin(mode: Mode, sessions: Sessions) -> &'static str {
        match (mode, sessions) {
            (Mode::Write, Sessions::Ours) => "BEGIN ISOLATION LEVEL READ COMMITTED",
            (Mode::Write, Sessions::Theirs) => {
                "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '1s'; \
                 SET LOCAL idle_in_transaction_session_timeout = '10s'; SET LOCAL statement_timeout = '10s'; \
                 SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL jit = off"
            }
            (Mode::Snapshot | Mode::Look, _) => "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",
        }
    }

    fn check_write(connection: &mut PgConnection) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(transaction(connection))
    }

    fn check_theirs(connection: &mut PgConnection) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(transaction(connection))
    }

    fn check(connection: &mut PgConnection, _: Sessions) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(server(connection))
    }

    fn begin_migrating(connection: &mut PgConnection) -> BoxFuture<'_, Result<(), Fault>> {
        // At READ COMMITTED: what the node before wrote must be seen after the wait. Then no table is waited for for long, because
        // everybody else waits behind; but a large one may take its time.
        const TURN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE; SET LOCAL statement_timeout = 0; \
                            SET LOCAL lock_timeout = '60s'; SELECT pg_advisory_xact_lock(5210843266231730291); \
                            SET LOCAL lock_timeout = '10s'";
        Box::pin(async move { Ok(sqlx::raw_sql(TURN).execute(connection).await.map(drop)?) })
    }
}

fn refused(why: String) -> Fault {
    Fault::Found(ErrorKind::Misconfigured, why)
}

/// Fails unless a commit of this transaction is on the disk when it is told, and its statements see what was committed before them.
async fn transaction(connection: &mut PgConnection) -> Result<(), Fault> {
    let text = "SELECT current_setting('synchronous_commit'), current_setting('transaction_isolation')";
    let row = sqlx::query(text).fetch_one(connection).await?;
    let (commit, isolation): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    if commit == "off" {
        return Err(refused("synchronous_commit is off, it must be local, on or remote_apply".to_owned()));
    }
    if isolation != "read committed" {
        return Err(refused(format!("the transaction is at {isolation}, it must be at read committed")));
    }
    Ok(())
}

/// Fails unless commits of this server are durable; warns where they may be lost otherwise.
async fn server(connection: &mut PgConnection) -> Result<(), Fault> {
    let text = "SELECT current_setting('synchronous_commit'), current_setting('fsync'), current_setting('full_page_writes'), \
                current_setting('synchronous_standby_names'), current_setting('server_encoding'), pg_is_in_recovery(), \
                current_setting('server_version_num')::int8";
    let row = sqlx::query(text).fetch_one(connection).await?;
    let setting = |at: usize| row.try_get::<String, _>(at);
    let (commit, fsync, pages, standbys, encoding) = (setting(0)?, setting(1)?, setting(2)?, setting(3)?, setting(4)?);
    let (recovers, version): (bool, i64) = (row.try_get(5)?, row.try_get(6)?);
    if commit == "off" {
        return Err(refused("synchronous_commit is off, it must be local, on or remote_apply".to_owned()));
    }
    for (name, value) in [("fsync", &fsync), ("full_page_writes", &pages)] {
        if value != "on" {
            return Err(refused(format!("{name} is {value}, it must be on")));
        }
    }
    if encoding != "UTF8" {
        return Err(refused(format!("the encoding of the database is {encoding}, it must be UTF8")));
    }
    if recovers {
        return Err(refused("this server is a standby: a ledger that lags looks like one that was rewound".to_owned()));
    }
    if version < 130_000 {
        return Err(refused(format!("the server's version is {version}, it must be 130000 or later")));
    }
    if commit == "local" && !standbys.is_empty() {
        tracing::warn!(standbys, "synchronous_commit is local: after a failover to a standby, told orders may be gone");
    }
    Ok(())
}

/// What an error of PostgreSQL means, by its SQLSTATE.
pub(crate) fn meaning(error: &PgDatabaseError) -> Meaning {
    match error.code() {
        // lock_not_available.
        "55P03" => Meaning::Busy,
        code if code.starts_with("40") => Meaning::Busy,
        "23505" => Meaning::Twice,
        // admin_shutdown, crash_shutdown, cannot_connect_now, idle_session_timeout, idle_in_transaction_session_timeout.
        "57P01" | "57P02" | "57P03" | "57P05" | "25P03" => Meaning::Lost,
        code => match &code[..2.min(code.len())] {
            "08" => Meaning::Lost,
            // Cardinality, data, integrity, program limits such as the size of a key.
            "21" | "22" | "23" | "54" => Meaning::Data,
            // Names of a catalogue or a schema, authorization, names and rights.
            "3D" | "3F" | "28" | "42" => Meaning::Misconfigured,
            "XX" if matches!(code, "XX001" | "XX002") => Meaning::Corrupt,
            _ => Meaning::Unavailable,
        },
    }
}

/// A null of whatever type stands at its place.
struct Untyped;

impl sqlx::Type<Postgres> for Untyped {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(0))
    }
}

impl sqlx::Encode<'_, Postgres> for Untyped {
    fn encode_by_ref(&self, _: &mut PgArgumentBuffer) -> Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
        Ok(sqlx::encode::IsNull::Yes)
    }
}

fn bind(arguments: &mut PgArguments, values: &[Value]) -> Result<(), sqlx::Error> {
    for value in values {
        let added = match value {
            Value::Null => arguments.add(Untyped),
            Value::Int(number) => arguments.add(*number),
            Value::Text(text) => arguments.add(&**text),
            Value::Texts(texts) => arguments.add(texts.iter().map(Option::as_deref).collect::<Vec<Option<&str>>>()),
            Value::Ints(numbers) => arguments.add(numbers),
        };
        added.map_err(sqlx::Error::Encode)?;
    }
    Ok(())
}

/// Writes a text with its places numbered on from `bound`.
fn numbered(text: &str, bound: &mut usize, into: &mut String) {
    let mut quoted = false;
    for letter in text.chars() {
        match letter {
            '?' if !quoted => {
                *bound += 1;
                into.push_str(&format!("${bound}"));
                continue;
            }
            '\'' => quoted = !quoted,
            _ => {}
        }
        into.push(letter);
    }
}

/// Statements that travel together.
#[derive(Debug)]
struct Group {
    statements: Vec<Sending>,
    written: BTreeSet<&'static str>,
    changed: BTreeSet<&'static str>,
}

impl Group {
    fn of(first: Sending) -> Self {
        let mut group = Self { statements: vec![], written: BTreeSet::new(), changed: BTreeSet::new() };
        group.push(first);
        group
    }

    fn push(&mut self, statement: Sending) {
        match statement.effect {
            Effect::Inserts(table) => drop(self.written.insert(table)),
            Effect::Changes(table) => drop((self.written.insert(table), self.changed.insert(table))),
            Effect::Reads | Effect::Locks => {}
        }
        self.statements.push(statement);
    }

    /// Whether a statement may go along. Parts of one statement do not see what the others write, and a row may be written once.
    fn takes(&self, next: &Sending) -> bool {
        match (self.statements[0].effect, next.effect) {
            (Effect::Reads, Effect::Reads) => true,
            (Effect::Inserts(_) | Effect::Changes(_), Effect::Inserts(table)) => !self.changed.contains(table),
            (Effect::Inserts(_) | Effect::Changes(_), Effect::Changes(table)) => !self.written.contains(table),
            _ => false,
        }
    }

    /// One text for all, and what it binds.
    fn text(&self) -> Result<(String, PgArguments), sqlx::Error> {
        let (mut text, mut bound, mut arguments) = (String::new(), 0, PgArguments::default());
        let reads = self.statements[0].effect == Effect::Reads;
        for (n, statement) in self.statements.iter().enumerate() {
            bind(&mut arguments, &statement.values)?;
            let (before, after) = match (self.statements.len(), reads) {
                (1, _) => (String::new(), ""),
                (_, true) if n == 0 => (format!("SELECT {n} AS n, r::text AS r FROM ("), ") r"),
                (_, true) => (format!(" UNION ALL SELECT {n}, r::text FROM ("), ") r"),
                (_, false) if n == 0 => (format!("WITH w{n} AS ("), " RETURNING 1)"),
                (_, false) => (format!(", w{n} AS ("), " RETURNING 1)"),
            };
            text.push_str(&before);
            numbered(&statement.text, &mut bound, &mut text);
            text.push_str(after);
        }
        if self.statements.len() > 1 && !reads {
            let count = |n| format!("(SELECT count(*) FROM w{n})");
            let counts: Vec<String> = (0..self.statements.len()).map(count).collect();
            text.push_str(&format!(" SELECT {}", counts.join(", ")));
        }
        Ok((text, arguments))
    }

    async fn send(self, connection: &mut PgConnection, replies: &mut Vec<Reply>) -> Result<(), sqlx::Error> {
        let (text, arguments) = self.text()?;
        let query = sqlx::query_with(AssertSqlSafe(text), arguments);
        let count = self.statements.len();
        let reads = matches!(self.statements[0].effect, Effect::Reads | Effect::Locks);
        match (count, reads) {
            (1, true) => {
                let rows = connection.fetch_all(query).await?.into_iter().map(DriverRow::Postgres).collect();
                replies.push(Reply { rows, wrote: 0 });
            }
            (1, false) => {
                let wrote = connection.execute(query).await?.rows_affected();
                replies.push(Reply { rows: vec![], wrote });
            }
            (_, true) => {
                let first = replies.len();
                replies.extend((0..count).map(|_| Reply::default()));
                for row in connection.fetch_all(query).await? {
                    let n: i32 = row.try_get(0)?;
                    let fields = record(row.try_get(1)?);
                    let reply = usize::try_from(n).ok().and_then(|n| replies.get_mut(first + n));
                    let reply = reply.ok_or_else(|| sqlx::Error::Decode("a record of no statement".into()))?;
                    reply.rows.push(DriverRow::Record(fields));
                }
            }
            (_, false) => {
                let row: PgRow = connection.fetch_one(query).await?;
                for n in 0..count {
                    let wrote: i64 = row.try_get(n)?;
                    replies.push(Reply { rows: vec![], wrote: wrote.cast_unsigned() });
                }
            }
        }
        Ok(())
    }
}

/// Sends statements in as few journeys as their order allows, and takes the reply of each.
pub(crate) async fn send(
    connection: &mut PgConnection,
    statements: Vec<Sending>,
    sent: &AtomicU64,
) -> Result<Vec<Reply>, sqlx::Error> {
    let mut replies = Vec::with_capacity(statements.len());
    let mut left = statements.into_iter().peekable();
    while let Some(first) = left.next() {
        let mut group = Group::of(first);
        while let Some(next) = left.next_if(|next| group.takes(next)) {
            group.push(next);
        }
        sent.fetch_add(1, Ordering::Relaxed);
        group.send(connection, &mut replies).await?;
    }
    Ok(replies)
}

/// The fields of a record in its text form: `(a,,"b c","say ""x""")`. An empty field is null, an empty text is `""`.
fn record(text: &str) -> Vec<Option<String>> {
    let inner = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')).unwrap_or(text);
    let (mut fields, mut field, mut quoted) = (Vec::new(), None::<String>, false);
    let mut letters = inner.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            ',' if !quoted => fields.push(field.take()),
            '"' if quoted && letters.next_if_eq(&'"').is_some() => field.get_or_insert_default().push('"'),
            '"' => {
                quoted = !quoted;
                field.get_or_insert_default();
            }
            '\\' => field.get_or_insert_default().extend(letters.next()),
            _ => field.get_or_insert_default().push(letter),
        }
    }
    fields.push(field);
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_a_record_come_back_as_they_were() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(record("(a,,12)"), [some("a"), None, some("12")]);
        assert_eq!(record(r#"("",)"#), [some(""), None]);
        let odd = r#"("b c","say ""x"", (y)","back\\slash",ü)"#;
        assert_eq!(record(odd), [some("b c"), some(r#"say "x", (y)"#), some(r"back\slash"), some("ü")]);
    }

    fn statement(text: &str, effect: Effect) -> Sending {
        Sending { text: text.into(), values: vec![], binds: 0, effect }
    }

    fn together(statements: Vec<Sending>) -> String {
        let mut statements = statements.into_iter();
        let mut group = Group::of(statements.next().unwrap());
        for next in statements {
            assert!(group.takes(&next), "{next:?}");
            group.push(next);
        }
        group.text().unwrap().0
    }

    #[test]
    fn reads_travel_together_and_writes_too() {
        let reads = vec![statement("SELECT a = ?", Effect::Reads), statement("SELECT '?', ?", Effect::Reads)];
        assert_eq!(
            together(reads),
            "SELECT 0 AS n, r::text AS r FROM (SELECT a = $1) r UNION ALL SELECT 1, r::text FROM (SELECT '?', $2) r"
        );
        let writes = vec![statement("UPDATE a", Effect::Changes("a")), statement("INSERT b", Effect::Inserts("b"))];
        assert_eq!(
            together(writes),
            "WITH w0 AS (UPDATE a RETURNING 1), w1 AS (INSERT b RETURNING 1) \
             SELECT (SELECT count(*) FROM w0), (SELECT count(*) FROM w1)"
        );
    }

    #[test]
    fn the_lock_is_alone_and_no_table_is_changed_twice_at_once() {
        let pairs = [
            (Effect::Locks, Effect::Reads, false),
            (Effect::Reads, Effect::Locks, false),
            (Effect::Reads, Effect::Inserts("a"), false),
            (Effect::Inserts("a"), Effect::Reads, false),
            (Effect::Inserts("a"), Effect::Inserts("a"), true),
            (Effect::Inserts("a"), Effect::Changes("a"), false),
            (Effect::Changes("a"), Effect::Inserts("a"), false),
            (Effect::Changes("a"), Effect::Changes("a"), false),
            (Effect::Changes("a"), Effect::Changes("b"), true),
        ];
        for (first, next, takes) in pairs {
            assert_eq!(Group::of(statement("x", first)).takes(&statement("y", next)), takes, "{first:?} {next:?}");
        }
    }
}
