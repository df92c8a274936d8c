//! The scripts: each is `lua/<noun>_<verb>.lua` behind `lua/prelude.lua`, named by its SHA-1 as Redis names it.

use std::sync::LazyLock;

/// A script and its name.
#[derive(Debug)]
pub(crate) struct Script {
    /// Such as `gate.reserve`: how failures name it.
    pub(crate) operation: &'static str,
    /// The source, sent when the server does not know the digest.
    pub(crate) source: &'static str,
    /// The digest.
    pub(crate) sha: String,
}

impl Script {
    fn new(operation: &'static str, source: &'static str) -> Self {
        Self { operation, source, sha: redis::Script::new(source).get_hash().to_owned() }
    }
}

macro_rules! scripts {
    ($($name:ident = $operation:literal, $($part:literal),+;)*) => {$(
        pub(crate) static $name: LazyLock<Script> = LazyLock::new(|| {
            Script::new($operation, concat!(include_str!("../lua/prelude.lua"), $(include_str!(concat!("../lua/", $part, ".lua")),)+))
        });
    )*};
}

scripts! {
    BEGIN = "gate.begin", "stock_begin";
    FORGET = "gate.forget", "stock_forget";
    ANSWERS = "gate.answers", "settle", "stock_answers";
    LOAD = "gate.load", "settle", "stock_load";
    RESERVE = "gate.reserve", "stock_reserve";
    DUE = "gate.due", "stock_due";
    SYNC = "gate.sync", "settle", "stock_sync";
    LEVEL = "gate.level", "stock_level";
    RECALL = "gate.recall", "stock_recall";
}
