//! The seam between our SQL and the databases: the one place where texts differ.
//!
//! The noun files write each statement once, as a template. What differs between databases stands in braces; everything else is
//! SQL that SQLite, PostgreSQL and MariaDB read alike.
//!
//! | in a template | meaning | SQLite | PostgreSQL | MySQL, MariaDB |
//! |---|---|---|---|---|
//! | `{lock}` | lock the rows that are read, in a transaction that writes | nothing: `BEGIN IMMEDIATE` has the lock | `FOR UPDATE` | the same |
//! | `{in}` | is one of a list | a JSON array | `= ANY(array)` | `IN (?, ..)`, padded |
//! | `{rows a:text b:int}` | the rows of a bulk write, as a table with these columns | `VALUES`, padded | `unnest` of arrays | `JSON_TABLE` |
//! | `{live}` | the live orders of a list of buyers, as buyer and lines | by the ids | the same | by the column `buyer` |
//! | `{once-event}`, `{once-letter}`, `{once-notice}` | leave a row out that is there | `ON CONFLICT` | the same | `ON DUPLICATE KEY` |
//! | `{front}` | which of the oldest rows of the outbox go | a list | the same | a join |
//! | `{told-..}`, `{unkeyed-..}`, `{history}` | how the acceptance of an order is told | by the order's row | the same | by its key, as every fact |
//!
//! A write of rows is `UPDATE t SET .. FROM {rows ..} r WHERE ..`; for MySQL it is turned into a join, with the rows first; for
//! PostgreSQL the rows that it changes are found one by one.
//! `"name"` is an identifier that is a word of some dialect. Owns texts only; connections are in the file of each database.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::value::{Kind, Value, as_columns, as_json_rows};

/// Which database a text is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(
    not(all(feature = "sqlite", feature = "postgres", feature = "mysql")),
    allow(dead_code, reason = "each has its feature")
)]
pub enum Dialect {
    /// SQLite, as bundled with the driver.
    Sqlite,
    /// PostgreSQL 13 or later.
    Postgres,
    /// MariaDB 10.6 or later, MySQL 8.
    MySql,
}

/// From how many rows on values that are the same in all of them are bound once.
const MANY: usize = 32;
/// How many texts are kept; most ledgers need a few hundred.
const TEXTS: usize = 4_096;

/// What the transaction is for that a text stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    /// Rows are looked at and not locked.
    Read,
    /// Rows that are read with `{lock}` are written next.
    Write,
}

impl Dialect {
    /// The most values that one statement may bind.
    fn values_max(self) -> usize {
        match self {
            // SQLITE_MAX_VARIABLE_NUMBER is 32,766; a few are left for what stands beside the rows.
            Self::Sqlite => 32_000,
            // Rows are one value or one a column there; their size is bounded all the same.
            Self::Postgres | Self::MySql => 65_536,
        }
    }

    /// How many rows of this width one statement may have.
    pub(crate) fn rows_max(self, width: usize) -> usize {
        let most = self.values_max() / width.max(1);
        // The largest power of two, because texts are padded to one.
        1 << most.max(1).ilog2()
    }

    /// For how many rows a text is made on SQLite when there are so many: few sizes, so that prepared statements are found again.
    fn padded(rows: usize) -> usize {
        rows.next_power_of_two()
    }

    /// The values of a statement without rows, as the database takes lists, and the number of places in `{in}`.
    pub(crate) fn bound(self, values: Vec<Value>) -> (Vec<Value>, usize) {
        match self {
            Self::Sqlite => (values.into_iter().map(Value::into_json_list).collect(), 0),
            Self::Postgres => (values, 0),
            Self::MySql => {
                let (mut single, mut places) = (Vec::with_capacity(values.len()), 0);
                for value in values {
                    let list = matches!(value, Value::Texts(_) | Value::Ints(_));
                    let mut values = value.singles();
                    if list {
                        // Each statement of ours has one list at most. A repeated value changes nothing, and null is in no list.
                        places = values.len().next_power_of_two();
                        let last = values.last().cloned().unwrap_or(Value::Null);
                        values.resize(places, last);
                    }
                    single.append(&mut values);
                }
                (single, places)
            }
        }
    }

    /// The values of a statement with rows, how many its text binds, and its size as [`Texts::text`] takes it; what is missing at the end is null.
    pub(crate) fn bound_rows<const N: usize>(
        self,
        template: &str,
        head: &[Value],
        rows: Vec<[Value; N]>,
        tail: &[Value],
    ) -> (Vec<Value>, usize, usize) {
        let mut values = head.to_vec();
        if self == Self::Sqlite {
            let size = Self::padded(rows.len());
            let padded = head.len() + size * N;
            values.reserve(padded + tail.len() - head.len());
            values.extend(rows.into_iter().flatten());
            if !tail.is_empty() {
                values.resize(padded, Value::Null);
                values.extend_from_slice(tail);
            }
            return (values, padded + tail.len(), size);
        }
        let same = if template.starts_with("INSERT") { same(&rows) } else { 0 };
        let varies = |at: &usize| same & (1 << at) == 0;
        if let Some(row) = rows.first() {
            values.extend((0..N).filter(|at| !varies(at)).map(|at| row[at].clone()));
        }
        let varying: Vec<usize> = (0..N).filter(varies).collect();
        if self == Self::Postgres {
            let kinds: Vec<Kind> = columns(template).iter().map(|(_, kind)| *kind).collect();
            let kinds: Vec<Kind> = varying.iter().map(|at| kinds[*at]).collect();
            values.extend(as_columns(&rows, &varying, &kinds));
        } else {
            values.push(as_json_rows(&rows, &varying));
        }
        values.extend_from_slice(tail);
        let binds = values.len();
        (values, binds, same)
    }

    /// The rows as a table, for the size that [`bound_rows`](Self::bound_rows) tells.
    fn rows(self, columns: &[(&str, Kind)], size: usize) -> String {
        let list = |parts: Vec<String>| parts.join(", ");
        if self == Self::Sqlite {
            let row = format!("({})", vec!["?"; columns.len()].join(","));
            let names = columns.iter().enumerate().map(|(n, (name, _))| format!("column{} AS {name}", n + 1));
            let values = vec![row; size].join(",");
            let names = list(names.collect());
            return format!("(SELECT {names} FROM (VALUES {values}) WHERE column1 IS NOT NULL)");
        }
        let (same, varying): (Vec<_>, Vec<_>) = columns.iter().enumerate().partition(|(at, _)| size & (1 << at) != 0);
        let bound = |(name, kind): &(&str, Kind)| match (self, kind) {
            (Self::Postgres, Kind::Text) => format!(", ?::text AS {name}"),
            (Self::Postgres, Kind::Int) => format!(", ?::int8 AS {name}"),
            _ => format!(", ? AS {name}"),
        };
        let bound: String = same.into_iter().map(|(_, column)| bound(column)).collect();
        if self == Self::Postgres {
            let array = |kind: Kind| if kind == Kind::Text { "?::text[]" } else { "?::int8[]" };
            let arrays = list(varying.iter().map(|(_, (_, kind))| array(*kind).to_owned()).collect());
            let names = list(varying.iter().map(|(_, (name, _))| (*name).to_owned()).collect());
            return format!("(SELECT u.*{bound} FROM unnest({arrays}) AS u({names}))");
        }
        let column = |(n, (_, (name, kind))): (usize, &(usize, &(&str, Kind)))| match kind {
            Kind::Text => format!("{name} LONGTEXT CHARACTER SET utf8mb4 PATH '$[{n}]'"),
            Kind::Int => format!("{name} BIGINT PATH '$[{n}]'"),
        };
        let table =
            format!("JSON_TABLE(?, '$[*]' COLUMNS ({}))", list(varying.iter().enumerate().map(column).collect()));
        if bound.is_empty() { table } else { format!("(SELECT j.*{bound} FROM {table} j)") }
    }

    /// What stands at a place that is the same whatever the rows.
    fn place(self, name: &str, purpose: Purpose) -> &'static str {
        match (self, name) {
            (Self::Sqlite, "lock") => "",
            (_, "lock") if purpose == Purpose::Read => "",
            (_, "lock") => " FOR UPDATE",
            (Self::Sqlite, "in") => "IN (SELECT value FROM json_each(?))",
            (Self::Postgres, "in") => "= ANY(?)",
            // The orders of a buyer stand between `buyer~` and what follows it (the character is DEL): no index of their own.
            // COALESCE keeps the index over (sale, v) out, which would read all orders of the sale for each buyer.
            (Self::Sqlite, "live") => {
                "b.value, o.lines FROM json_each(?) b CROSS JOIN orders o \
                 ON o.id > b.value || '~' AND o.id < b.value || '\u{7f}' WHERE COALESCE(o.sale, '') = ? AND o.live = 1"
            }
            // The same, in an order that no statistics can change: those of a fresh database are of empty tables.
            (Self::Postgres, "live") => {
                "b.buyer, o.lines FROM unnest(?::text[]) AS b(buyer) CROSS JOIN LATERAL (SELECT lines FROM orders \
                 WHERE id > b.buyer || '~' AND id < b.buyer || '\u{7f}' AND COALESCE(sale, '') = ? AND live = 1 OFFSET 0) o"
            }
            (Self::Sqlite, "once-event") => {
                " WHERE NOT (r.kind = 'order.accepted' AND r.version = 1 AND EXISTS \
                 (SELECT 1 FROM orders o WHERE o.id = r.subject AND o.told IS NOT NULL)) \
                 ON CONFLICT (subject, version, kind) WHERE keyed = 1 DO NOTHING"
            }
            // A value, not EXISTS: that may be turned into a table of all orders.
            (Self::Postgres, "once-event") => {
                " WHERE (r.kind <> 'order.accepted' OR r.version <> 1 OR \
                 (SELECT o.told FROM orders o WHERE o.id = r.subject) IS NULL) \
                 ON CONFLICT (subject, version, kind) WHERE keyed = 1 DO NOTHING"
            }
            // Not IGNORE: it hides truncation and CHECKs as well.
            (Self::MySql, "once-event") => " WHERE true ON DUPLICATE KEY UPDATE outbox.no = outbox.no",
            (Self::Sqlite | Self::Postgres, "once-letter") => " WHERE true ON CONFLICT (consumer, event_id) DO NOTHING",
            (Self::Sqlite | Self::Postgres, "once-notice") => " WHERE true ON CONFLICT (id) DO NOTHING",
            (Self::MySql, "once-notice") => " WHERE true ON DUPLICATE KEY UPDATE notice.tries = notice.tries",
            (Self::MySql, "once-letter") => " WHERE true ON DUPLICATE KEY UPDATE dead_letter.no = dead_letter.no",
            // SQLite writes one transaction at a time, so an order's row can name the fact that tells it; one random key less.
            // PostgreSQL takes the numbers first.
            (Self::Sqlite | Self::Postgres, "told-column") => ", told",
            (Self::Postgres, "told-value") => ", r.told",
            (Self::Sqlite, "told-value") => ", (SELECT MAX(no) FROM outbox) + r.told",
            (Self::Sqlite, "unkeyed-column") => ", keyed",
            (Self::Sqlite, "unkeyed-value") => ", 0",
            (Self::Postgres, "unkeyed-column") => ", keyed, no",
            (Self::Postgres, "unkeyed-value") => ", 0, r.no",
            (Self::Sqlite, "history") => {
                "subject, version, sale, at, fact, no FROM outbox WHERE keyed = 1 AND subject = ?1 UNION ALL \
                 SELECT e.subject, e.version, e.sale, e.at, e.fact, e.no \
                 FROM orders o JOIN outbox e ON e.no = o.told WHERE o.id = ?1 ORDER BY version, no"
            }
            (Self::Postgres, "history") => {
                "f.subject, f.version, f.sale, f.at, f.fact FROM (SELECT ?::text AS id) q CROSS JOIN LATERAL \
                 (SELECT subject, version, sale, at, fact, no FROM outbox WHERE keyed = 1 AND subject = q.id UNION ALL \
                 SELECT e.* FROM orders o CROSS JOIN LATERAL (SELECT subject, version, sale, at, fact, no FROM outbox \
                 WHERE no = o.told OFFSET 0) e WHERE o.id = q.id) f ORDER BY f.version, f.no"
            }
            // Found first, so that nothing walks over all that is kept.
            (Self::Sqlite, "front") => {
                "WHERE sent = 1 AND at < ? AND no IN \
                 (SELECT f.no FROM (SELECT no FROM outbox WHERE sent = 1 ORDER BY no LIMIT ?) f)"
            }
            (Self::Postgres, "front") => {
                "WHERE sent = 1 AND at < ? AND no = ANY (ARRAY(SELECT no FROM outbox WHERE sent = 1 ORDER BY no LIMIT ?))"
            }
            (Self::MySql, "front") => {
                "USING (SELECT ? AS before_it) q STRAIGHT_JOIN (SELECT no FROM outbox WHERE sent = 1 ORDER BY no LIMIT ?) f \
                 STRAIGHT_JOIN outbox ON outbox.no = f.no WHERE outbox.sent = 1 AND outbox.at < q.before_it"
            }
            (_, "told-column" | "told-value" | "unkeyed-column" | "unkeyed-value") => "",
            (_, "history") => "subject, version, sale, at, fact FROM outbox WHERE subject = ? ORDER BY version, no",
            _ => unreachable!("a template of ours has an unknown place {name}"),
        }
    }

    /// Writes a template out for a number of rows, or of places in `{in}`.
    fn render(self, template: &str, rows: usize, purpose: Purpose) -> String {
        let joined = match self {
            Self::Sqlite => None,
            Self::Postgres => found(template),
            Self::MySql => join(template),
        };
        let template = joined.as_deref().unwrap_or(template);
        let mut text = String::with_capacity(template.len() + 64);
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            text.push_str(before);
            let (what, after) = after.split_once('}').unwrap_or((after, ""));
            let places = || vec!["?"; rows.max(1)].join(",");
            match what.split_once(' ') {
                Some(("rows", spec)) => text.push_str(&self.rows(&parse(spec), rows)),
                None if self == Self::MySql && what == "in" => text.push_str(&format!("IN ({})", places())),
                None if self == Self::MySql && what == "live" => text.push_str(&format!(
                    "o.buyer, o.`lines` FROM orders o WHERE o.buyer IN ({}) AND o.sale = ? AND o.live = 1",
                    places()
                )),
                _ => text.push_str(self.place(what, purpose)),
            }
            rest = after;
        }
        text.push_str(rest);
        if self == Self::MySql { text.replace('"', "`") } else { text }
    }
}

fn parse(spec: &str) -> Vec<(&str, Kind)> {
    let column = |column: &'_ str| -> Option<usize> { column.find(':') };
    spec.split_whitespace()
        .map(|word| {
            let at = column(word).unwrap_or(word.len());
            (&word[..at], if word[at..] == *":int" { Kind::Int } else { Kind::Text })
        })
        .collect()
}

/// The columns whose value is the same in all of these rows, a bit each: bound once, because handing over and taking apart what is
/// repeated costs as much as writing it. Never the first; and none of a few rows, where it saves nothing and only makes more texts.
fn same<const N: usize>(rows: &[[Value; N]]) -> usize {
    const { assert!(N < 64, "a bit each") };
    let Some(first) = rows.first().filter(|_| rows.len() >= MANY) else { return 0 };
    let same = |at: &usize| rows.iter().all(|row| row[*at] == first[*at]);
    (1..N).filter(same).map(|at| 1 << at).sum()
}

/// The columns of the rows in a template.
fn columns(template: &str) -> Vec<(&str, Kind)> {
    let spec = template.split_once("{rows ").and_then(|(_, rest)| rest.split_once('}'));
    spec.map_or_else(Vec::new, |(spec, _)| parse(spec))
}

/// `UPDATE t SET a = .., b = .. FROM {rows} r WHERE ..` as `UPDATE {rows} r STRAIGHT_JOIN t SET t.a = .., t.b = .. WHERE ..`: the
/// rows first, so that only rows with their keys are read and locked. None for any other template.
fn join(template: &str) -> Option<String> {
    let (table, rest) = template.strip_prefix("UPDATE ")?.split_once(" SET ")?;
    let (sets, rest) = rest.split_once(" FROM ")?;
    let (rows, condition) = rest.split_once(" WHERE ")?;
    let (mut set, mut depth) = (format!("{table}."), 0);
    let mut letters = sets.chars().peekable();
    while let Some(letter) = letters.next() {
        set.push(letter);
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                while letters.next_if(|next| next.is_whitespace()).is_some() {}
                set.push_str(&format!(" {table}."));
            }
            _ => {}
        }
    }
    Some(format!("UPDATE {rows} STRAIGHT_JOIN {table} SET {set} WHERE {condition}"))
}

/// `UPDATE t SET .. FROM {rows} r WHERE ..` with the rows of `t` found one by one, and only then changed: without statistics, or
/// with old ones, all of `t` could be read instead. None for any other template.
///
/// A row that somebody else changes meanwhile would be missed: whoever writes so has the lock on what it writes.
fn found(template: &str) -> Option<String> {
    let (table, rest) = template.strip_prefix("UPDATE ")?.split_once(" SET ")?;
    let (sets, rest) = rest.split_once(" FROM {")?;
    let (rows, condition) = rest.split_once(" WHERE ")?;
    Some(format!(
        "UPDATE {table} SET {sets} FROM {{{rows} CROSS JOIN LATERAL \
         (SELECT {table}.ctid AS at FROM {table} WHERE {condition} OFFSET 0) f WHERE {table}.ctid = f.at"
    ))
}

/// A template, its size, and what for.
type Key = (&'static str, usize, Purpose);

/// Texts that were written out before. Templates are constants; sizes are few in a shop, but what they can be is many.
#[derive(Debug)]
pub(crate) struct Texts {
    dialect: Dialect,
    made: RwLock<HashMap<Key, Arc<str>>>,
}

impl Texts {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self { dialect, made: RwLock::default() }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// All texts that were written out so far.
    #[cfg(all(test, feature = "sqlite"))]
    pub(crate) fn all(&self) -> Vec<Arc<str>> {
        self.made.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// The text of a template for a size: on SQLite the number of rows, on MySQL that of places in a list, on both servers which
    /// columns of the rows are the same in all of them.
    pub(crate) fn text(&self, template: &'static str, size: usize, purpose: Purpose) -> Arc<str> {
        let key = (template, size, purpose);
        if let Some(text) = self.made.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return text.clone();
        }
        let text: Arc<str> = self.dialect.render(template, size, purpose).into();
        let mut made = self.made.write().unwrap_or_else(PoisonError::into_inner);
        if made.len() >= TEXTS {
            made.clear();
        }
        made.entry(key).or_insert(text).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSERT: &str = "INSERT INTO t (a, b) SELECT a, b FROM {rows a:text b:int} r";
    const UPDATE: &str =
        "UPDATE t SET a = r.a, b = COALESCE(r.b, t.b) FROM {rows id:text a:int b:int} r WHERE t.s = ? AND t.id = r.id";
    const SELECT: &str = "SELECT \"x\" FROM t WHERE id {in}{lock}";

    #[test]
    fn a_template_is_written_out_for_each_database() {
        let text = |dialect: Dialect, template, rows| dialect.render(template, rows, Purpose::Write);
        assert_eq!(
            text(Dialect::Sqlite, INSERT, 2),
            "INSERT INTO t (a, b) SELECT a, b FROM (SELECT column1 AS a, column2 AS b FROM (VALUES (?,?),(?,?)) \
             WHERE column1 IS NOT NULL) r"
        );
        assert_eq!(
            text(Dialect::Postgres, INSERT, 0),
            "INSERT INTO t (a, b) SELECT a, b FROM (SELECT u.* FROM unnest(?::text[], ?::int8[]) AS u(a, b)) r"
        );
        assert_eq!(
            text(Dialect::MySql, INSERT, 0),
            "INSERT INTO t (a, b) SELECT a, b FROM JSON_TABLE(?, '$[*]' COLUMNS (a LONGTEXT CHARACTER SET utf8mb4 PATH '$[0]', b BIGINT PATH '$[1]')) r"
        );
        assert_eq!(
            text(Dialect::Sqlite, SELECT, 0),
            "SELECT \"x\" FROM t WHERE id IN (SELECT value FROM json_each(?))"
        );
        assert_eq!(text(Dialect::Postgres, SELECT, 0), "SELECT \"x\" FROM t WHERE id = ANY(?) FOR UPDATE");
        assert_eq!(text(Dialect::MySql, SELECT, 2), "SELECT `x` FROM t WHERE id IN (?,?) FOR UPDATE");
        assert_eq!(Dialect::MySql.render(SELECT, 1, Purpose::Read), "SELECT `x` FROM t WHERE id IN (?)");
    }

    #[test]
    fn an_update_of_rows_is_a_join_on_mysql() {
        assert_eq!(
            Dialect::MySql.render(UPDATE, 0, Purpose::Write),
            "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (id LONGTEXT CHARACTER SET utf8mb4 PATH '$[0]', a BIGINT PATH '$[1]', b BIGINT PATH '$[2]')) r \
             STRAIGHT_JOIN t SET t.a = r.a, t.b = COALESCE(r.b, t.b) WHERE t.s = ? AND t.id = r.id"
        );
        assert_eq!(join("UPDATE t SET a = ? WHERE id = ?"), None);
    }

    #[test]
    fn an_update_of_rows_finds_them_one_by_one_on_postgres() {
        assert_eq!(
            Dialect::Postgres.render(
                "UPDATE t SET a = r.a FROM {rows id:text a:int} r WHERE t.s = ? AND t.id = r.id",
                0,
                Purpose::Write
            ),
            "UPDATE t SET a = r.a FROM (SELECT u.* FROM unnest(?::text[], ?::int8[]) AS u(id, a)) r CROSS JOIN LATERAL \
             (SELECT t.ctid AS at FROM t WHERE t.s = ? AND t.id = r.id OFFSET 0) f WHERE t.ctid = f.at"
        );
        assert_eq!(found("UPDATE t SET a = ? WHERE id = ?"), None);
    }

    #[test]
    fn what_is_the_same_in_many_rows_is_bound_once() {
        let rows = |count: i64| -> Vec<[Value; 4]> {
            (0..count).map(|n| [n.to_string().into(), "x".into(), n.into(), Value::Null]).collect()
        };
        const WIDE: &str = "INSERT INTO t (h, a, b, c, d) SELECT ?, a, b, c, d FROM {rows a:text b:text c:int d:int} r";
        for dialect in [Dialect::Postgres, Dialect::MySql] {
            assert_eq!(dialect.bound_rows(WIDE, &[], rows(MANY as i64 - 1), &[]).2, 0);
            let (values, binds, size) = dialect.bound_rows(WIDE, &["h".into()], rows(MANY as i64), &[]);
            assert_eq!((&values[..3], size), (&["h".into(), "x".into(), Value::Null][..], 0b1010));
            assert_eq!((binds, binds), (values.len(), if dialect == Dialect::Postgres { 5 } else { 4 }));
            let text = dialect.render(WIDE, size, Purpose::Write);
            assert_eq!(text.matches('?').count(), binds, "{text}");
        }
        assert_eq!(
            Dialect::MySql.render(WIDE, 0b1010, Purpose::Write),
            "INSERT INTO t (h, a, b, c, d) SELECT ?, a, b, c, d FROM (SELECT j.*, ? AS b, ? AS d FROM JSON_TABLE(?, '$[*]' COLUMNS \
             (a LONGTEXT CHARACTER SET utf8mb4 PATH '$[0]', c BIGINT PATH '$[1]')) j) r"
        );
        assert_eq!(
            Dialect::Postgres.render(WIDE, 0b1010, Purpose::Write),
            "INSERT INTO t (h, a, b, c, d) SELECT ?, a, b, c, d FROM (SELECT u.*, ?::text AS b, ?::int8 AS d \
             FROM unnest(?::text[], ?::int8[]) AS u(a, c)) r"
        );
    }

    #[test]
    fn no_statement_binds_more_than_the_database_takes() {
        for width in 1..40 {
            let rows = Dialect::Sqlite.rows_max(width);
            assert!(rows.is_power_of_two() && rows * width <= 32_766);
            assert!(Dialect::padded(rows) <= rows);
        }
    }

    #[test]
    fn a_list_is_bound_as_the_database_takes_it() {
        let values = || vec![Value::list(["a", "b", "c"]), Value::from("s")];
        assert_eq!(Dialect::Sqlite.bound(values()), (vec![r#"["a","b","c"]"#.into(), "s".into()], 0));
        assert_eq!(Dialect::Postgres.bound(values()), (values(), 0));
        let padded = ["a", "b", "c", "c", "s"].map(Value::from).to_vec();
        assert_eq!(Dialect::MySql.bound(values()), (padded, 4));
        assert_eq!(Dialect::MySql.bound(vec![Value::list([])]), (vec![Value::Null], 1));
    }
}
