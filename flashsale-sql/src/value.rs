//! Values that are bound, and rows that are written in bulk.
//!
//! Owns no text and no driver: how a database takes a list or rows is in [`dialect`](crate::dialect) and in its own file.

use std::sync::Arc;

use flashsale_core::Timestamp;

/// A value to bind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Int(i64),
    Text(Arc<str>),
    /// Texts, as one value: a list for `{in}`, or a column of rows.
    Texts(Vec<Option<Arc<str>>>),
    /// Numbers, as one value.
    Ints(Vec<Option<i64>>),
}

impl Value {
    /// 64 bits without a sign, as the signed number of the same bits.
    pub(crate) fn bits(word: u64) -> Self {
        Self::Int(word.cast_signed())
    }

    /// Texts for `{in}`.
    pub(crate) fn list<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        Self::Texts(texts.into_iter().map(|text| Some(text.into())).collect())
    }

    /// Numbers for `{in}`.
    pub(crate) fn numbers(numbers: impl IntoIterator<Item = i64>) -> Self {
        Self::Ints(numbers.into_iter().map(Some).collect())
    }

    fn json(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Int(number) => (*number).into(),
            Self::Text(text) => (&**text).into(),
            Self::Texts(texts) => texts.iter().map(Option::as_deref).collect(),
            Self::Ints(numbers) => numbers.iter().copied().map(serde_json::Value::from).collect(),
        }
    }

    /// A list as one JSON array; any other value as it is.
    pub(crate) fn into_json_list(self) -> Self {
        match self {
            Self::Texts(_) | Self::Ints(_) => Self::Text(self.json().to_string().into()),
            single => single,
        }
    }

    /// A list as single values; any other value alone.
    pub(crate) fn singles(self) -> Vec<Self> {
        match self {
            Self::Texts(texts) => texts.into_iter().map(Self::from).collect(),
            Self::Ints(numbers) => numbers.into_iter().map(Self::from).collect(),
            single => vec![single],
        }
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

impl From<Arc<str>> for Value {
    fn from(text: Arc<str>) -> Self {
        Self::Text(text)
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

/// These columns of rows as one JSON array of arrays.
pub(crate) fn as_json_rows<const N: usize>(rows: &[[Value; N]], columns: &[usize]) -> Value {
    let row = |row: &[Value; N]| columns.iter().map(|at| row[*at].json()).collect();
    let rows: serde_json::Value = rows.iter().map(row).collect::<Vec<serde_json::Value>>().into();
    rows.to_string().into()
}

/// These columns of rows, each of its kind: one list each.
pub(crate) fn as_columns<const N: usize>(rows: &[[Value; N]], columns: &[usize], kinds: &[Kind]) -> Vec<Value> {
    let text = |value: &Value| if let Value::Text(text) = value { Some(text.clone()) } else { None };
    let number = |value: &Value| if let Value::Int(number) = value { Some(*number) } else { None };
    let column = |(at, kind): (&usize, &Kind)| match kind {
        Kind::Text => Value::Texts(rows.iter().map(|row| text(&row[*at])).collect()),
        Kind::Int => Value::Ints(rows.iter().map(|row| number(&row[*at])).collect()),
    };
    columns.iter().zip(kinds).map(column).collect()
}

/// What a column of rows holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Int,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_json_whatever_its_texts_hold() {
        assert_eq!(Value::list(["a", "b\"c\\"]).into_json_list(), Value::from(r#"["a","b\"c\\"]"#));
        assert_eq!(Value::list([]).into_json_list(), Value::from("[]"));
        assert_eq!(Value::numbers([1, -2]).into_json_list(), Value::from("[1,-2]"));
        assert_eq!(Value::from("a").into_json_list(), Value::from("a"));
    }

    #[test]
    fn rows_are_the_same_as_json_and_as_columns() {
        let rows = vec![[Value::from("a"), Value::from(1_i64)], [Value::from("b"), Value::Null]];
        assert_eq!(as_json_rows(&rows, &[0, 1]), Value::from(r#"[["a",1],["b",null]]"#));
        let columns = as_columns(&rows, &[0, 1], &[Kind::Text, Kind::Int]);
        assert_eq!(columns, [Value::list(["a", "b"]), Value::Ints(vec![Some(1), None])]);
    }

    #[test]
    fn bits_come_back_whole() {
        for word in [0, 1, u64::MAX, 1 << 63] {
            let Value::Int(stored) = Value::bits(word) else { panic!("not a number") };
            assert_eq!(stored.cast_unsigned(), word);
        }
    }
}
