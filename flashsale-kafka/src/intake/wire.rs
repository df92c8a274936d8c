//! Recorded requests as bytes: a JSON object with its version in a header.
//!
//! The topic is ours alone: what stands on it is not an event, nothing has become true yet. Whoever reads skips fields that he does not know, and
//! refuses another major version. The key is the sale, so that all requests of a sale are in one order.

use std::time::Duration;

use flashsale_core::error::ErrorKind;
use flashsale_core::id::ContentHash;
use flashsale_core::order::{Reason, Recorded};
use flashsale_core::sale::Lines;
use flashsale_core::stock::{Accept, Epoch, HoldNo, Note, Then};
use flashsale_core::{BackendError, Coupon, CouponId, Method, Money, OrderId, SaleId, Timestamp, TraceParent};
use serde::{Deserialize, Serialize};

use crate::wire::Unread;

/// The version that this program writes, `major.minor`.
pub const VERSION: &str = "1.0";
const MAJOR: &str = "1";

/// The headers of a record, in the order in which they are sent: its type, [`VERSION`], and the order's name for people who look for it.
pub const HEADERS: [&str; 3] = ["content-type", "intake_version", "intake_id"];

/// The object of a record. Times are milliseconds since 1970, amounts minor units, the hash 16 hexadecimal digits.
#[derive(Debug, Serialize, Deserialize)]
struct Body {
    sale: SaleId,
    order: OrderId,
    hash: String,
    lines: Lines,
    hold: Option<Hold>,
    expect: Option<Money>,
    coupon: Option<CouponId>,
    method: Option<Method>,
    note: Option<Note>,
    #[serde(default)]
    trace: Option<TraceParent>,
    then: Next,
    at: Timestamp,
}

#[derive(Debug, Serialize, Deserialize)]
struct Hold {
    epoch: u64,
    no: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Next {
    Pay { within_ms: u64 },
    Keep,
    Issue(Box<Coupon>),
    Refuse { reason: String },
}

/// Writes the value of a record.
///
/// # Errors
/// *Data* for an offer to one on the waitlist: the engine makes offers itself, and they have no place in the log.
///
/// # Panics
/// Never: every record is an object of JSON.
pub fn encode(record: &Recorded) -> Result<String, BackendError> {
    let Recorded { sale, accept, at } = record;
    let body = Body {
        sale: sale.clone(),
        order: accept.id.clone(),
        hash: format!("{:016x}", accept.hash.0),
        lines: accept.lines.clone(),
        hold: accept.hold.map(|(epoch, no)| Hold { epoch: epoch.0, no: no.0 }),
        expect: accept.expect,
        coupon: accept.coupon.clone(),
        method: accept.method.clone(),
        note: accept.note.clone(),
        trace: accept.trace,
        then: match &accept.then {
            Then::Pay { within } => Next::Pay { within_ms: u64::try_from(within.as_millis()).unwrap_or(u64::MAX) },
            Then::Keep => Next::Keep,
            Then::Issue(coupon) => Next::Issue(coupon.clone()),
            Then::Refuse(reason) => Next::Refuse { reason: reason.code().to_owned() },
            Then::Offer { .. } => {
                let why = format!("{} is an offer: the log takes requests of buyers", accept.id);
                return Err(BackendError::new(ErrorKind::Data, "intake.append", why));
            }
        },
        at: *at,
    };
    Ok(serde_json::to_string(&body).expect("a record is JSON"))
}

/// Reads a record from its headers and its value.
///
/// # Errors
/// [`Unread::Bad`].
pub fn decode<'a>(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>, value: &[u8]) -> Result<Recorded, Unread> {
    let bad = |why: String| Unread::Bad(why);
    let version = headers.into_iter().find(|(name, _)| *name == HEADERS[1]).map(|(_, value)| value);
    let version = version.ok_or_else(|| bad(format!("{} is missing", HEADERS[1])))?;
    let version = std::str::from_utf8(version).map_err(|_| bad(format!("{} is not UTF-8", HEADERS[1])))?;
    if version.split('.').next() != Some(MAJOR) {
        return Err(bad(format!("a request of version {version}, this program reads {MAJOR}")));
    }
    let body: Body = serde_json::from_slice(value).map_err(|why| bad(format!("a request: {why}")))?;
    let hash = u64::from_str_radix(&body.hash, 16).map_err(|why| bad(format!("the hash {}: {why}", body.hash)))?;
    let then = match body.then {
        Next::Pay { within_ms } => Then::Pay { within: Duration::from_millis(within_ms) },
        Next::Keep => Then::Keep,
        Next::Issue(coupon) => Then::Issue(coupon),
        Next::Refuse { reason } => {
            Then::Refuse(Reason::from_code(&reason).ok_or_else(|| bad(format!("the reason {reason}")))?)
        }
    };
    let accept = Accept {
        id: body.order,
        hash: ContentHash(hash),
        lines: body.lines,
        hold: body.hold.map(|hold| (Epoch(hold.epoch), HoldNo(hold.no))),
        expect: body.expect,
        coupon: body.coupon,
        method: body.method,
        note: body.note,
        trace: body.trace,
        then,
    };
    Ok(Recorded { sale: body.sale, accept, at: body.at })
}
