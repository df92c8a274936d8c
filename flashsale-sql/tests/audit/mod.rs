//! The audit by plain SQL, as the guide gives it to readers: the text is the guide's own.
#![allow(dead_code, reason = "each test file takes what it needs")]

use crate::servers::{Database, count};

const GUIDE: &str = include_str!("../../../docs/guide/sql.md");

/// The questions of the guide; each says 0 at any moment.
pub(crate) fn questions() -> Vec<&'static str> {
    let (_, after) = GUIDE.split_once("## Ask it yourself").expect("the chapter");
    let (_, after) = after.split_once("```sql\n").expect("the questions");
    let (text, _) = after.split_once("```").expect("their end");
    let questions: Vec<&str> = text.split(';').map(str::trim).filter(|question| !question.is_empty()).collect();
    assert!(questions.len() >= 9, "{questions:?}");
    questions
}

/// Asks all of them.
pub(crate) fn audit<S: Database>(server: &S, url: &str) {
    for question in questions() {
        assert_eq!(count(server, url, question), 0, "{question}");
    }
}
