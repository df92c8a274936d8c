//! Members wait in the room before a sale.
//!
//! Owns the loads `room-burst` and `fair-room`; what a member asks of a room, and how he is answered, is here for both.

pub(super) mod burst;
pub(super) mod fair;
mod life;

use hyper::Uri;
use hyper::body::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::Failure;
use crate::client::{Call, Client, json, path};
use crate::scenario::Stage;

/// What one unit costs.
const PRICE: u64 = 10_000;

/// A sale behind a room, and what members ask of the two.
#[derive(Debug)]
struct Before {
    sale: String,
    place: Uri,
    admission: Uri,
    order: Bytes,
}

impl Before {
    /// Makes a sale of one item behind a room with these terms.
    async fn open(stage: &Stage, stem: &str, units: usize, room: Value) -> Result<Self, Failure> {
        let sale = stage.named(stem);
        let terms = json!({
            "id": sale, "hold_ms": 10_000, "pay_within_s": 60, "room": room,
            "items": [{ "id": "unit", "total": units, "price": PRICE, "per_buyer": 1 }],
        });
        let create = Call::post(path("/v1/sales"), json(&terms)).by("operator").keyed(&stage.named("create-sale"));
        Client::new(stage.first()).insist(&create, &[201]).await?;
        for server in &stage.servers {
            Client::new(*server).insist(&Call::get(path(&format!("/v1/sales/{sale}"))), &[200]).await?;
        }
        Ok(Self {
            place: path(&format!("/v1/sales/{sale}/place")),
            admission: path(&format!("/v1/sales/{sale}/admission")),
            order: json(&json!({ "sale": sale, "lines": [{ "item": "unit", "quantity": 1 }] })),
            sale,
        })
    }

    fn join(&self, member: &str) -> Call {
        Call::post(self.place.clone(), Bytes::new()).by(member)
    }

    fn place(&self, member: &str) -> Call {
        Call::get(self.place.clone()).by(member)
    }

    fn leave(&self, member: &str) -> Call {
        Call::delete(self.place.clone()).by(member)
    }

    fn admission(&self, member: &str) -> Call {
        Call::post(self.admission.clone(), Bytes::new()).by(member)
    }

    fn order(&self, member: &str, key: &str) -> Call {
        Call::post(path("/v1/orders"), self.order.clone()).by(member).keyed(key)
    }
}

/// A point in time on the wire, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Ms(i64);

impl<'de> Deserialize<'de> for Ms {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse::<jiff::Timestamp>().map(|at| Self(at.as_millisecond())).map_err(serde::de::Error::custom)
    }
}

/// An admission, as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Admission {
    token: String,
    until: Ms,
    server_time: Ms,
}

impl Admission {
    /// Whether it is over. Servers run on this machine, so its clock is theirs.
    fn has_ended(&self) -> bool {
        std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis() >= u128::try_from(self.until.0).unwrap_or(0)
    }
}

/// How long it takes, as it is told.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
struct Wait {
    known: bool,
    about_s: Option<f64>,
    at_most_s: Option<f64>,
}

/// A place, or that nobody has to wait.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Place {
    status: String,
    number: Option<u64>,
    wait: Option<Wait>,
    admission: Option<Admission>,
    refresh_after_ms: Option<u64>,
    server_time: Ms,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_and_a_closed_door_are_read_from_the_same_answer() {
        let waits = r#"{"status":"waiting","number":7,"ahead":6,"wait":{"known":true,"about_s":3,"at_most_s":5},"chance":"likely",
            "ticket":"t","refresh_after_ms":900,"server_time":"1970-01-01T00:00:01.5Z"}"#;
        let place: Place = serde_json::from_str(waits).unwrap();
        assert_eq!((place.number, place.server_time, place.admission), (Some(7), Ms(1_500), None));
        assert_eq!(place.wait, Some(Wait { known: true, about_s: Some(3.0), at_most_s: Some(5.0) }));
        let through = r#"{"status":"not_needed","admission":{"token":"k~a","until":"1970-01-01T00:00:03Z","extensions_left":0,
            "server_time":"1970-01-01T00:00:00Z"},"server_time":"1970-01-01T00:00:00Z"}"#;
        let place: Place = serde_json::from_str(through).unwrap();
        assert_eq!(place.admission.map(|admission| admission.until), Some(Ms(3_000)));
    }
}
