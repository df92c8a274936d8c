//! Errors as `application/problem+json`: one closed list of codes, each with its status and title.
//!
//! Owns what a client is told when something is refused or fails. *503 always means that nothing was promised: repeat with the
//! same key.* Does not decide anything.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use flashsale_axum::PlaceTold;
use flashsale_core::coupon::{ClaimRefusal, CouponRefusal};
use flashsale_core::engine::{LetterRefusal, PayRefusal};
use flashsale_core::error::ErrorKind;
use flashsale_core::order::{CancelRefusal, OrderRefusal, ReturnRefusal};
use flashsale_core::payment::WalletRefusal;
use flashsale_core::queue::RoomRefusal;
use flashsale_core::stock::{ChangeRefusal, Counted, ReserveRefusal};
use flashsale_core::waitlist::{JoinRefusal, LeaveRefusal, TakeRefusal};
use flashsale_core::{BackendError, Error, Timestamp};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// Every code, with its usual status and its title. The most frequent stand first: the list is searched.
pub const CODES: [(&str, u16, &str); 76] = [
    ("sold_out", 409, "Sold out"),
    ("exhausted", 429, "All coupons of this window are gone"),
    ("already_claimed", 409, "You have one already"),
    ("all_held", 409, "All that is left is being bought right now"),
    ("buyer_limit", 409, "You have as many as you may"),
    ("not_open", 403, "Not open yet"),
    ("closed", 410, "The sale is over"),
    ("ended", 410, "The campaign is over"),
    ("admission_required", 403, "Wait for your turn"),
    ("admission_forged", 403, "This is no admission of ours"),
    ("admission_foreign", 403, "This admission was given to somebody else"),
    ("admission_expired", 403, "The time of this admission is over"),
    ("admission_used", 403, "This admission was used"),
    ("too_early", 403, "Places are given later"),
    ("no_place", 404, "You have no place in this room"),
    ("not_yet", 409, "It is not your turn yet"),
    ("none_left", 409, "A turn cannot be made longer again"),
    ("turn_passed", 410, "Your turn went by"),
    ("finished", 410, "You are done here"),
    ("already", 409, "You wait already"),
    ("still_available", 409, "It can still be bought"),
    ("offered", 409, "You have an offer"),
    ("not_an_offer", 404, "This is no offer"),
    ("lapsed", 410, "The offer has lapsed"),
    ("key_reused", 422, "This key was used for something else"),
    ("key_missing", 400, "An Idempotency-Key is needed"),
    ("key_malformed", 400, "The Idempotency-Key is malformed"),
    ("member_missing", 401, "Nobody is named as the buyer"),
    ("member_malformed", 400, "The member's name is malformed"),
    ("member_reserved", 403, "This member's name is the shop's own"),
    ("price_changed", 409, "The total is another one"),
    ("coupon_used", 409, "The coupon is used already"),
    ("coupon_unknown", 404, "There is no such coupon"),
    ("coupon_expired", 410, "The coupon has expired"),
    ("coupon_minimum", 422, "The total is below the coupon's minimum"),
    ("coupon_method", 422, "The coupon cannot be used with this way to pay"),
    ("amount_too_large", 422, "The amount is too large"),
    ("amount_zero", 422, "The amount is zero"),
    ("lines", 422, "The lines are not those of a purchase"),
    ("method", 422, "There is no such way to pay"),
    ("cancelled", 409, "This key was cancelled"),
    ("unknown_sale", 404, "There is no such sale"),
    ("unknown_item", 404, "The sale has no such item"),
    ("unknown_campaign", 404, "There is no such campaign"),
    ("not_found", 404, "There is no such thing"),
    ("not_payable", 409, "The order cannot be paid"),
    ("pay_by_passed", 410, "The time to pay is over"),
    ("not_cancellable", 409, "The order is paid"),
    ("not_bought", 409, "The order was not bought"),
    ("return_period_passed", 410, "The time for returns is over"),
    ("letter_settled", 409, "The dead letter was dealt with"),
    ("consumer_gone", 409, "Nobody here takes the event up"),
    ("failed_again", 409, "The event failed again"),
    ("insufficient", 409, "There is too little money in the wallet"),
    ("too_much", 409, "A wallet cannot hold so much"),
    ("same_member", 422, "Buyer and seller are the same member"),
    ("sale_exists", 409, "There is a sale of this name with other terms"),
    ("unknown_room", 404, "No room stands before this sale"),
    ("room_terms", 422, "These are not the terms of a waiting room"),
    ("terms", 422, "These are not the terms of a sale or campaign"),
    ("clock", 422, "The clock only goes forward"),
    ("malformed", 400, "The request cannot be read"),
    ("invalid", 422, "A value is not what it must be"),
    ("too_large", 413, "The body is too large"),
    ("content_type", 415, "The body is not JSON"),
    ("route_unknown", 404, "There is no such route"),
    ("method_not_allowed", 405, "The route does not know this method"),
    ("switched_off", 403, "This route is for development and switched off"),
    ("origin", 403, "This form is of another site"),
    ("paused", 503, "Stopped for the moment"),
    ("unavailable", 503, "Not available for the moment"),
    ("unknown", 503, "The outcome is not known"),
    ("room_full", 503, "The waiting room is full"),
    ("shedding", 503, "Too many requests at the same time"),
    ("streams_full", 503, "Too many live streams at the same time"),
    ("defect", 500, "A defect of ours"),
];

/// The place of a code in [`CODES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeNo(pub usize);

/// An error, as the client sees it.
#[derive(Debug, Clone)]
pub struct Problem(Box<Told>);

#[derive(Debug, Clone)]
struct Told {
    no: CodeNo,
    status: StatusCode,
    detail: Cow<'static, str>,
    more: More,
}

/// What some problems tell beside their words.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
struct More {
    /// When to come again, in seconds; also in the header `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_s: Option<u64>,
    /// Which item.
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<String>,
    /// The last number given before this answer: every winner's `no` is at most this.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<u64>,
    /// How many units the buyer has.
    #[serde(skip_serializing_if = "Option::is_none")]
    have: Option<u32>,
    /// How many units a buyer may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u32>,
    /// What was counted: `bought` for good, or `held` for another request that may still be refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    counted: Option<&'static str>,
    /// The coupon that the member has.
    #[serde(skip_serializing_if = "Option::is_none")]
    coupon: Option<String>,
    /// When it opens.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    opens_at: Option<At>,
    /// The server's time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    server_time: Option<At>,
    /// Where to wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
    /// Where the member stands in the room.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<Box<PlaceTold>>,
}

/// A problem on the wire.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProblemView<'a> {
    /// `urn:flashsale:problem:CODE`.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    kind: Urn<'a>,
    /// What happened, the same for every problem of this code.
    title: &'a str,
    /// The status.
    status: u16,
    /// The stable word to go by.
    code: &'a str,
    /// What happened here.
    detail: &'a str,
    #[serde(flatten)]
    more: &'a More,
}

#[derive(Debug)]
struct Urn<'a>(&'a str);

impl Serialize for Urn<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("urn:flashsale:problem:{}", self.0))
    }
}

/// A point in time as RFC 3339 in UTC, with milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At(pub(crate) Timestamp);

impl Serialize for At {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

impl Problem {
    /// The problem of this code.
    #[must_use]
    pub fn new(code: &str, detail: impl Into<Cow<'static, str>>) -> Self {
        let found = CODES.iter().position(|row| row.0 == code);
        debug_assert!(found.is_some(), "{code} is not in the list");
        // The last one is a defect of ours, which a code that is not listed is.
        let no = found.unwrap_or(CODES.len() - 1);
        let status = StatusCode::from_u16(CODES[no].1).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self(Box::new(Told { no: CodeNo(no), status, detail: detail.into(), more: More::default() }))
    }

    /// Its place in the list.
    #[must_use]
    pub fn no(&self) -> CodeNo {
        self.0.no
    }

    /// Its code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        CODES[self.0.no.0].0
    }

    /// Its title.
    #[must_use]
    pub fn title(&self) -> &'static str {
        CODES[self.0.no.0].2
    }

    /// What happened here.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// Answers with another status than usual.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.0.status = status;
        self
    }

    /// Says when to come again; part of a second counts as one.
    #[must_use]
    pub fn retry_after(mut self, wait: Option<Duration>) -> Self {
        self.0.more.retry_after_s = wait.map(|wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
        self
    }

    fn opens(mut self, opens_at: Timestamp, now: Timestamp) -> Self {
        self.0.more.opens_at = Some(At(opens_at));
        self.0.more.server_time = Some(At(now));
        self
    }

    /// Says where to wait, and where the member stands there.
    pub(crate) fn waiting_at(mut self, link: String, place: Option<PlaceTold>) -> Self {
        self.0.more.link = Some(link);
        self.0.more.place = place.map(Box::new);
        self
    }

    /// A value in the request is not what it must be.
    #[must_use]
    pub fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new("invalid", detail)
    }

    /// There is no such thing, or it is somebody else's.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new("not_found", "there is no such thing, or it is somebody else's")
    }

    /// A refusal of an order.
    #[must_use]
    pub fn of_order(error: &Error<OrderRefusal>, now: Timestamp) -> Self {
        match error {
            Error::Backend(error) => error.into(),
            Error::Refused(refusal) => {
                let mut problem = Self::new(refusal.code(), refusal.to_string()).retry_after(refusal.retry_after(now));
                let more = &mut problem.0.more;
                more.after = refusal.after().map(|no| no.0);
                match refusal {
                    OrderRefusal::Gate(ReserveRefusal::NotOpen { opens_at }) => return problem.opens(*opens_at, now),
                    OrderRefusal::Gate(ReserveRefusal::Limit { item, have, limit, by }) => {
                        more.item = Some(item.to_string());
                        more.have = Some(*have);
                        more.limit = Some(*limit);
                        more.counted = Some(counted(*by));
                    }
                    OrderRefusal::Gate(
                        ReserveRefusal::SoldOut { item, .. }
                        | ReserveRefusal::AllHeld { item, .. }
                        | ReserveRefusal::Waitlist { item, .. }
                        | ReserveRefusal::UnknownItem { item },
                    )
                    | OrderRefusal::UnknownItem { item } => more.item = Some(item.to_string()),
                    _ => {}
                }
                problem
            }
        }
    }

    /// A refusal of a claim.
    #[must_use]
    pub fn of_claim(error: &Error<ClaimRefusal>, now: Timestamp) -> Self {
        match error {
            Error::Backend(error) => error.into(),
            Error::Refused(refusal) => {
                let problem = Self::new(refusal.code(), refusal.to_string()).retry_after(refusal.retry_after(now));
                match refusal {
                    ClaimRefusal::NotOpen { opens_at } => problem.opens(*opens_at, now),
                    ClaimRefusal::AllHeld => problem.with_status(StatusCode::TOO_MANY_REQUESTS),
                    ClaimRefusal::Exhausted { next_opens_at: Some(opens_at) } => problem.opens(*opens_at, now),
                    ClaimRefusal::AlreadyClaimed { coupon, by } => {
                        let mut problem = problem;
                        problem.0.more.coupon = Some(coupon.to_string());
                        problem.0.more.counted = Some(counted(*by));
                        problem
                    }
                    _ => problem,
                }
            }
        }
    }
}

fn counted(by: Counted) -> &'static str {
    match by {
        Counted::Bought => "bought",
        Counted::Held => "held",
    }
}

impl From<&BackendError> for Problem {
    fn from(error: &BackendError) -> Self {
        let wait = |s| Some(Duration::from_secs(s));
        match error.kind() {
            ErrorKind::Unavailable => {
                Self::new("unavailable", "nothing was promised; repeat with the same key").retry_after(wait(1))
            }
            ErrorKind::Unknown => {
                Self::new("unknown", "it may have happened; repeat with the same key").retry_after(wait(1))
            }
            ErrorKind::Data => Self::invalid("the ledger does not take these values; nothing happened"),
            ErrorKind::Misconfigured | ErrorKind::Corrupt | ErrorKind::Rewound => {
                tracing::error!(%error, "this needs a person");
                Self::new("unavailable", "nothing was promised; somebody has to look").retry_after(wait(30))
            }
        }
    }
}

impl From<BackendError> for Problem {
    fn from(error: BackendError) -> Self {
        (&error).into()
    }
}

/// Refusals whose code and words are all there is to tell.
macro_rules! plain {
    ($($refusal:ty),*) => {$(
        impl From<Error<$refusal>> for Problem {
            fn from(error: Error<$refusal>) -> Self {
                match error {
                    Error::Backend(error) => error.into(),
                    Error::Refused(refusal) => Self::new(refusal.code(), refusal.to_string()),
                }
            }
        }
    )*};
}
plain!(
    CancelRefusal,
    ReturnRefusal,
    PayRefusal,
    WalletRefusal,
    LetterRefusal,
    RoomRefusal,
    JoinRefusal,
    LeaveRefusal,
    TakeRefusal
);

impl From<Error<ChangeRefusal>> for Problem {
    fn from(error: Error<ChangeRefusal>) -> Self {
        match error {
            Error::Backend(error) => error.into(),
            Error::Refused(ChangeRefusal::Conflict) => Self::new("sale_exists", "terms change by a change, not anew"),
            Error::Refused(ChangeRefusal::Closed) => Self::new("closed", "the sale is closed"),
            Error::Refused(refusal @ ChangeRefusal::UnknownSale) => Self::new("unknown_sale", refusal.to_string()),
            Error::Refused(refusal @ ChangeRefusal::UnknownItem(_)) => Self::new("unknown_item", refusal.to_string()),
            Error::Refused(refusal) => Self::new("terms", refusal.to_string()),
        }
    }
}

/// The code of a coupon that cannot be used.
pub(crate) fn coupon_code(refusal: CouponRefusal) -> &'static str {
    flashsale_core::order::Reason::Coupon(refusal).code()
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Told { no, status, detail, more } = &*self.0;
        let (code, _, title) = CODES[no.0];
        let view = ProblemView { kind: Urn(code), title, status: status.as_u16(), code, detail, more };
        let mut body = Vec::with_capacity(320);
        // Writing to memory cannot fail, and every field is a text or a number.
        let _ = serde_json::to_writer(&mut body, &view);
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = *status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(wait) = more.retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(wait));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flashsale_core::order::Reason;

    #[test]
    fn every_code_is_listed_once_and_a_503_is_never_a_promise() {
        for (n, row) in CODES.iter().enumerate() {
            assert!(CODES[..n].iter().all(|other| other.0 != row.0), "{} stands twice", row.0);
            assert!((400..600).contains(&row.1));
        }
    }

    #[test]
    fn every_reason_for_which_the_ledger_refuses_is_a_listed_code() {
        let refusing = [
            Reason::SoldOut,
            Reason::BuyerLimit,
            Reason::PriceChanged,
            Reason::AmountTooLarge,
            Reason::Closed,
            Reason::UnknownItem,
            Reason::Coupon(CouponRefusal::NotYours),
            Reason::Coupon(CouponRefusal::Used),
            Reason::Coupon(CouponRefusal::Expired),
            Reason::Coupon(CouponRefusal::BelowMinimum),
            Reason::Coupon(CouponRefusal::Method),
        ];
        for reason in refusing {
            assert_eq!(Problem::new(reason.code(), "").code(), reason.code());
        }
    }

    #[test]
    fn part_of_a_second_is_waited_for_as_a_whole_one() {
        let told = |ms| Problem::new("paused", "").retry_after(Some(Duration::from_millis(ms))).0.more.retry_after_s;
        assert_eq!((told(1), told(1_000), told(1_001)), (Some(1), Some(1), Some(2)));
    }
}
