//! The scripts: each is `lua/<noun>_<verb>.lua` behind `lua/prelude.lua` and what its noun begins with, named by its SHA-1 as Redis names it.

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
    BEGIN = "gate.begin", "stock", "stock_begin";
    FORGET = "gate.forget", "stock", "stock_forget";
    ANSWERS = "gate.answers", "stock", "settle", "stock_answers";
    LOAD = "gate.load", "stock", "settle", "stock_load";
    RESERVE = "gate.reserve", "stock", "digits", "stock_reserve";
    DUE = "gate.due", "stock", "stock_due";
    SYNC = "gate.sync", "stock", "settle", "stock_sync";
    LEVEL = "gate.level", "stock", "stock_level";
    RECALL = "gate.recall", "stock", "stock_recall";

    ROOM_OPEN = "room.open", "room", "room_open";
    ROOM_CHANGE = "room.change", "room", "room_change";
    ROOM_ENTER = "room.enter", "room", "room_members", "digits", "room_enter";
    ROOM_PLACE = "room.place", "room", "room_members", "room_place";
    ROOM_ADMIT = "room.admit", "room", "room_members", "room_admit";
    ROOM_EXTEND = "room.extend", "room", "room_members", "room_extend";
    ROOM_FINISH = "room.finish", "room", "room_members", "room_finish";
    ROOM_LEAVE = "room.leave", "room", "room_members", "room_leave";
    ROOM_EXPIRE = "room.expire", "room", "room_members", "room_expire";
    ROOM_LEVELS = "room.levels", "room", "room_levels";
    ROOM_FORGET = "room.forget", "room", "room_forget";
}
