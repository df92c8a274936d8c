//! The seam between our SQL and the databases: values to bind, and the places where texts differ.
//!
//! The noun files write each statement once, as a template. Four things in it differ between databases and stand in
//! braces; everything else is SQL that SQLite, PostgreSQL and MariaDB read alike, or a [`Dialect`] has to say so here.
//!
//! | in a template | meaning | SQLite | others |
//! |---|---|---|---|
//! | `{lock}` | lock the rows that are read | nothing: `BEGIN IMMEDIATE` has the lock | `FOR UPDATE` |
//! | `{in}` | is one of a list, bound as one JSON array | `IN (SELECT value FROM json_each(?))` | `= ANY(..)`, `JSON_TABLE` |
//! | `{each}` | the values of a list, bound as one JSON array | `json_each(?)` | `unnest`, `JSON_TABLE` |
//! | `{rows a:text b:int}` | the rows of a bulk write, as a table with these columns | `VALUES`, padded | `unnest`, `UNION ALL` |
//!
//! Owns texts only. Connections and transactions are in [`sqlite`](crate::sqlite) and [`tx`](crate::tx).

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use flashsale_core::Timestamp;

/// Which database a text is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Dialect {
    /// SQLite, as bundled with the driver.
    Sqlite,
}

/// A value to bind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Int(i64),
    Text(Arc<str>),
}

impl Value {
    /// 64 bits without a sign, as the signed number of the same bits.
    pub(crate) fn bits(word: u64) -> Self {
        Self::Int(word.cast_signed())
    }

    /// A JSON array of texts, for `{in}`.
    pub(crate) fn list<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut json = String::from("[");
        for (n, text) in texts.into_iter().enumerate() {
            if n > 0 {
                json.push(',');
            }
            // A text always has a JSON form.
            json.push_str(&serde_json::Value::from(text).to_string());
        }
        json.push(']');
        Self::Text(json.into())
    }

    /// A JSON array of numbers, for `{in}`.
    pub(crate) fn numbers(numbers: impl IntoIterator<Item = i64>) -> Self {
        let numbers: Vec<i64> = numbers.into_iter().collect();
        Self::Text(serde_json::Value::from(numbers).to_string().into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Int(i64::from(number))
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::bits(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Int(i64::from(flag))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<Timestamp> for Value {
    fn from(at: Timestamp) -> Self {
        Self::Int(at.ms())
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// The rows of a bulk write, each `N` values wide. The first value of a row is never null: padding is told by it.
#[derive(Debug, Default)]
pub(crate) struct Rows<const N: usize>(pub(crate) Vec<[Value; N]>);

impl<const N: usize> Rows<N> {
    /// The rows of these things.
    pub(crate) fn of<T>(things: impl IntoIterator<Item = T>, row: impl FnMut(T) -> [Value; N]) -> Self {
        Self(things.into_iter().map(row).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

impl Dialect {
    /// The most values that one statement may bind.
    fn values_max(self) -> usize {
        match self {
            // SQLITE_MAX_VARIABLE_NUMBER is 32,766; a few are left for what stands beside the rows.
            Self::Sqlite => 32_000,
        }
    }

    /// How many rows of this width one statement may have.
    pub(crate) fn rows_max(self, width: usize) -> usize {
        let most = self.values_max() / width.max(1);
        // The largest power of two, because texts are padded to one.
        1 << most.max(1).ilog2()
    }

    /// For how many rows a text is made when there are so many: few sizes, so that prepared statements are found again.
    pub(crate) fn padded(self, rows: usize) -> usize {
        match self {
            Self::Sqlite => rows.next_power_of_two(),
        }
    }

    fn lock(self) -> &'static str {
        match self {
            Self::Sqlite => "",
        }
    }

    fn among(self) -> &'static str {
        match self {
            Self::Sqlite => "IN (SELECT value FROM json_each(?))",
        }
    }

    fn each(self) -> &'static str {
        match self {
            Self::Sqlite => "json_each(?)",
        }
    }

    fn rows(self, columns: &str, rows: usize, text: &mut String) {
        let names: Vec<&str> = columns.split_whitespace().filter_map(|column| column.split(':').next()).collect();
        match self {
            Self::Sqlite => {
                text.push_str("(SELECT ");
                for (n, name) in names.iter().enumerate() {
                    let comma = if n == 0 { "" } else { ", " };
                    text.push_str(&format!("{comma}column{} AS {name}", n + 1));
                }
                text.push_str(" FROM (VALUES ");
                let row = format!("({})", vec!["?"; names.len()].join(","));
                text.push_str(&vec![row; rows].join(","));
                text.push_str(") WHERE column1 IS NOT NULL)");
            }
        }
    }

    /// Writes a template out for a number of rows.
    fn render(self, template: &str, rows: usize) -> String {
        let mut text = String::with_capacity(template.len() + 64);
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            text.push_str(before);
            let (what, after) = after.split_once('}').unwrap_or((after, ""));
            match what.split_once(' ') {
                None if what == "lock" => text.push_str(self.lock()),
                None if what == "in" => text.push_str(self.among()),
                None if what == "each" => text.push_str(self.each()),
                Some(("rows", columns)) => self.rows(columns, rows, &mut text),
                _ => unreachable!("a template of ours has an unknown place {what}"),
            }
            rest = after;
        }
        text.push_str(rest);
        text
    }
}

/// Texts that were written out before. Their number is bounded: templates are constants, sizes are powers of two.
#[derive(Debug)]
pub(crate) struct Texts {
    dialect: Dialect,
    made: RwLock<HashMap<(&'static str, usize), Arc<str>>>,
}

impl Texts {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self { dialect, made: RwLock::default() }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// All texts that were written out so far.
    #[cfg(test)]
    pub(crate) fn all(&self) -> Vec<Arc<str>> {
        self.made.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// The text of a template for a number of rows, which is 0 for a template without rows.
    pub(crate) fn text(&self, template: &'static str, rows: usize) -> Arc<str> {
        let key = (template, rows);
        if let Some(text) = self.made.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return text.clone();
        }
        let text: Arc<str> = self.dialect.render(template, rows).into();
        self.made.write().unwrap_or_else(PoisonError::into_inner).entry(key).or_insert(text).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_written_out_for_its_number_of_rows() {
        let text = Dialect::Sqlite.render("INSERT INTO t (a, b) SELECT a, b FROM {rows a:text b:int} r", 2);
        assert_eq!(
            text,
            "INSERT INTO t (a, b) SELECT a, b FROM (SELECT column1 AS a, column2 AS b FROM (VALUES (?,?),(?,?)) \
             WHERE column1 IS NOT NULL) r"
        );
        let text = Dialect::Sqlite.render("SELECT x FROM t WHERE id {in}{lock}", 0);
        assert_eq!(text, "SELECT x FROM t WHERE id IN (SELECT value FROM json_each(?))");
    }

    #[test]
    fn no_statement_binds_more_than_the_database_takes() {
        for width in 1..40 {
            let rows = Dialect::Sqlite.rows_max(width);
            assert!(rows.is_power_of_two() && rows * width <= 32_766);
            assert!(Dialect::Sqlite.padded(rows) <= rows);
        }
    }

    #[test]
    fn a_list_is_json_whatever_its_texts_hold() {
        assert_eq!(Value::list(["a", "b\"c\\"]), Value::from(r#"["a","b\"c\\"]"#));
        assert_eq!(Value::list([]), Value::from("[]"));
        assert_eq!(Value::numbers([1, -2]), Value::from("[1,-2]"));
    }

    #[test]
    fn bits_come_back_whole() {
        for word in [0, 1, u64::MAX, 1 << 63] {
            let Value::Int(stored) = Value::bits(word) else { panic!("not a number") };
            assert_eq!(stored.cast_unsigned(), word);
        }
    }
}
