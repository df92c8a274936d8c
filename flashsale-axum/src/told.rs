//! What clients are told, as JSON: places, admissions, ticks. Times are RFC 3339 in UTC, waits in seconds, and every reply carries the server's time.

use std::time::Duration;

use flashsale_core::engine::{Admission, PlaceView, Tick};
use flashsale_core::queue::{Ended, Standing, Wait};
use flashsale_core::{Place, Timestamp};
use serde::{Serialize, Serializer};

fn time<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(at)
}

fn maybe_time<S: Serializer>(at: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => to.collect_str(at),
        None => to.serialize_none(),
    }
}

/// Where a member stands, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// In line.
    Waiting,
    /// His turn came while he was away; he is in line again, at the head.
    Absent,
    /// He can go.
    YourTurn,
    /// His turn went by.
    TurnPassed,
    /// He did what he came for.
    Finished,
    /// He left.
    Left,
    /// The room is closed: nobody has to wait.
    NotNeeded,
}

impl Status {
    fn of(standing: Standing) -> Self {
        match standing {
            Standing::Waiting { .. } => Self::Waiting,
            Standing::Absent { .. } => Self::Absent,
            Standing::Turn(_) => Self::YourTurn,
            Standing::Ended(Ended::Passed) => Self::TurnPassed,
            Standing::Ended(Ended::Finished) => Self::Finished,
            Standing::Ended(Ended::Left) => Self::Left,
        }
    }
}

/// How long it takes, as measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WaitTold {
    /// Whether it was measured.
    pub known: bool,
    /// As fast as the line moved lately.
    pub about_s: Option<u64>,
    /// As slow as it moved lately.
    pub at_most_s: Option<u64>,
}

/// Whole seconds, rounded up.
fn seconds(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u64::MAX)
}

impl From<Wait> for WaitTold {
    fn from(wait: Wait) -> Self {
        match wait {
            Wait::Unknown => Self { known: false, about_s: None, at_most_s: None },
            Wait::Measured { about, at_most } => {
                Self { known: true, about_s: Some(seconds(about)), at_most_s: Some(seconds(at_most)) }
            }
        }
    }
}

/// A place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlaceTold {
    /// Where he stands.
    pub status: Status,
    /// His number.
    pub number: u64,
    /// How many go before him, at most.
    pub ahead: u64,
    /// How long it takes.
    pub wait: WaitTold,
    /// `likely`, `unlikely` or `none_left`; nothing if the room does not know what it stands before.
    pub chance: Option<&'static str>,
    /// Brings the place back if the room's store loses it: send it with the next join.
    pub ticket: String,
    /// Of a turn: until when.
    #[serde(serialize_with = "maybe_time", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub until: Option<Timestamp>,
    /// Of a turn: how often it can be made longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extensions_left: Option<u8>,
    /// The operator's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When to ask again.
    pub refresh_after_ms: u64,
    /// The time of this answer.
    #[serde(serialize_with = "time")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub server_time: Timestamp,
}

impl From<PlaceView> for PlaceTold {
    fn from(view: PlaceView) -> Self {
        let ahead = view.ahead();
        let Place { number, standing } = view.place;
        let turn = match standing {
            Standing::Turn(turn) => Some(turn),
            _ => None,
        };
        Self {
            status: Status::of(standing),
            number: number.no,
            ahead,
            wait: view.wait.into(),
            chance: view.chance.map(|chance| chance.code()),
            ticket: view.ticket,
            until: turn.map(|turn| turn.until),
            extensions_left: turn.map(|turn| turn.extensions_left),
            message: view.message,
            refresh_after_ms: u64::try_from(view.refresh_after.as_millis()).unwrap_or(u64::MAX),
            server_time: view.now,
        }
    }
}

/// An admission: show it with the writes that the room protects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AdmissionTold {
    /// The signed value.
    pub token: String,
    /// Until when it is worth something.
    #[serde(serialize_with = "time")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub until: Timestamp,
    /// How often it can be made longer.
    pub extensions_left: u8,
    /// The time of this answer.
    #[serde(serialize_with = "time")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub server_time: Timestamp,
}

impl From<Admission> for AdmissionTold {
    fn from(admission: Admission) -> Self {
        let Admission { token, until, extensions_left, now, .. } = admission;
        Self { token, until, extensions_left, server_time: now }
    }
}

/// The answer to a join that nobody has to wait for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NotNeeded {
    /// `not_needed`.
    pub status: Status,
    /// What lets him through, where a room stands before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admission: Option<AdmissionTold>,
    /// The time of this answer.
    #[serde(serialize_with = "time")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub server_time: Timestamp,
}

/// The room, as everybody may know it. `ahead` of one in line is at most `number - serving - 1 + returned`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TickTold {
    /// Whether people take places.
    pub open: bool,
    /// `auto`, `hold` or `off`.
    pub mode: &'static str,
    /// The last number that the line has passed: who has it, or a smaller one, asks for his admission.
    pub serving: u64,
    /// The last number given.
    pub issued: u64,
    /// How many stand before the line.
    pub returned: u64,
    /// How many are in line.
    pub waiting: u64,
    /// How many are inside.
    pub inside: u32,
    /// How many numbers the line passes in a minute; nothing until it is measured.
    pub per_minute: Option<u64>,
    /// What is left, if that is known.
    pub left: Option<u64>,
    /// Up to which number there is a good chance, if that is known.
    pub chance_until: Option<u64>,
    /// The chance of one at the very front, if that is known.
    pub chance: Option<&'static str>,
    /// The operator's words.
    pub message: Option<String>,
    /// The time of this tick.
    #[serde(serialize_with = "time")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub server_time: Timestamp,
}

impl From<&Tick> for TickTold {
    fn from(tick: &Tick) -> Self {
        Self {
            open: tick.door.is_open(),
            mode: tick.mode.code(),
            serving: tick.serving,
            issued: tick.issued,
            returned: tick.returned,
            waiting: tick.waiting,
            inside: tick.turns,
            per_minute: tick.per_minute,
            left: tick.left,
            chance_until: tick.chance_until,
            chance: tick.chance.map(|chance| chance.code()),
            message: tick.message.clone(),
            server_time: tick.at,
        }
    }
}
