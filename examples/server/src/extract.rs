//! What a request says: who asks, under which key, and the body, each checked by the core's types.
//!
//! Owns the edge: everything that is not what it must be becomes a typed problem here and goes no further.

use std::fmt;
use std::marker::PhantomData;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Uri};
use flashsale_core::{BuyerId, Key, TraceParent};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Bytes};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::app::App;
use crate::config::Switch;
use crate::problem::Problem;

/// Names the buyer, where the development switch allows it.
pub(crate) const MEMBER: HeaderName = HeaderName::from_static("flashsale-member");
/// The key that makes repeats the same request.
pub(crate) const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer repeats an earlier one.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Names the trace in which a request stands.
pub(crate) const TRACE: HeaderName = HeaderName::from_static("traceparent");

/// Accounts of the shop's own, which nobody may name himself.
const RESERVED: [&str; 1] = ["platform"];

/// The lengths of a key.
const KEY_CHARS: std::ops::RangeInclusive<usize> = 8..=64;

/// Who asks.
pub(crate) fn member(app: &App, headers: &HeaderMap) -> Result<BuyerId, Problem> {
    if app.config().dev_members == Switch::Off {
        return Err(Problem::new("member_missing", "there is no log-in yet, and dev.members is off"));
    }
    let Some(value) = headers.get(MEMBER) else {
        return Err(Problem::new("member_missing", "the header Flashsale-Member names the buyer"));
    };
    let text = value.to_str().map_err(|_| Problem::new("member_malformed", "a member's name is ASCII"))?;
    named_member(text)
}

/// The member of this name.
pub(crate) fn named_member(text: &str) -> Result<BuyerId, Problem> {
    if RESERVED.contains(&text) {
        return Err(Problem::new("member_reserved", "this account is the shop's own"));
    }
    BuyerId::new(text).map_err(|bad| Problem::new("member_malformed", bad.to_string()))
}

/// In which trace: that of the caller, if he tells one that is well formed, and only one.
pub(crate) fn trace(headers: &HeaderMap) -> Option<TraceParent> {
    let mut told = headers.get_all(TRACE).iter();
    let trace = TraceParent::read(told.next()?.as_bytes());
    if told.next().is_some() { None } else { trace }
}

/// Under which key.
pub(crate) fn key(headers: &HeaderMap) -> Result<Key, Problem> {
    let Some(value) = headers.get(KEY) else {
        return Err(Problem::new(
            "key_missing",
            "this write needs the header Idempotency-Key: 8 to 64 of A-Z a-z 0-9 _ -",
        ));
    };
    named_key(value.to_str().unwrap_or_default())
}

/// The key of this text.
pub(crate) fn named_key(text: &str) -> Result<Key, Problem> {
    let foreign = |b: &u8| !(b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if !KEY_CHARS.contains(&text.len()) || text.as_bytes().iter().any(foreign) {
        return Err(Problem::new("key_malformed", "an Idempotency-Key is 8 to 64 of A-Z a-z 0-9 _ -"));
    }
    Key::new(text).map_err(|bad| Problem::new("key_malformed", bad.to_string()))
}

/// The whole body, if it is not too large.
pub(crate) async fn bytes(app: &App, mut body: Body) -> Result<Bytes, Problem> {
    let most = app.config().http_body_bytes_max;
    let too_large = || Problem::new("too_large", format!("a body has at most {most} bytes"));
    if body.size_hint().lower() > most {
        return Err(too_large());
    }
    let mut whole = Bytes::new();
    let mut parts: Vec<u8> = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::new("malformed", "the body broke off"))?;
        let Ok(data) = frame.into_data() else { continue };
        // Nearly every body is one frame, which is taken as it is.
        if whole.is_empty() && parts.is_empty() {
            whole = data;
        } else {
            parts.extend_from_slice(&whole);
            whole = Bytes::new();
            parts.extend_from_slice(&data);
        }
        if (whole.len() + parts.len()) as u64 > most {
            return Err(too_large());
        }
    }
    Ok(if parts.is_empty() { whole } else { parts.into() })
}

/// The body as JSON, of exactly the fields that `T` has.
pub(crate) async fn json<T: DeserializeOwned>(app: &App, headers: &HeaderMap, body: Body) -> Result<T, Problem> {
    let kind = headers.get(CONTENT_TYPE).map_or(b"".as_slice(), |value| value.as_bytes());
    let essence = kind.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    if !essence.eq_ignore_ascii_case(b"application/json") {
        return Err(Problem::new("content_type", "the body is application/json"));
    }
    let bytes = bytes(app, body).await?;
    let read: Result<Object<T>, _> = serde_json::from_slice(&bytes);
    read.map(|Object(read)| read).map_err(|bad| match bad.classify() {
        serde_json::error::Category::Data => Problem::invalid(bad.to_string()),
        _ => Problem::new("malformed", bad.to_string()),
    })
}

/// A value that stands in JSON as an object; serde by itself takes an array of its fields as well.
#[derive(Debug)]
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        from.deserialize_map(Fields(PhantomData))
    }
}

/// The body of a write that needs no words: nothing, or an empty object.
pub(crate) async fn nothing(app: &App, headers: &HeaderMap, body: Body) -> Result<(), Problem> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    if body.is_end_stream() {
        return Ok(());
    }
    json::<Nothing>(app, headers, body).await.map(|Nothing {}| ())
}

/// The query of a request, of exactly the fields that `T` has.
pub(crate) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    axum::extract::Query::try_from_uri(uri)
        .map(|axum::extract::Query(query)| query)
        .map_err(|bad| Problem::invalid(bad.body_text()))
}

/// The name in a path.
#[derive(Debug)]
pub(crate) struct Name(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read: Result<Path<String>, PathRejection> = Path::from_request_parts(parts, state).await;
        read.map(|Path(name)| Self(name)).map_err(|bad| Problem::new("malformed", bad.body_text()))
    }
}

/// The two names in a path.
#[derive(Debug)]
pub(crate) struct Names(pub(crate) String, pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Names {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read: Result<Path<(String, String)>, PathRejection> = Path::from_request_parts(parts, state).await;
        read.map(|Path((one, two))| Self(one, two)).map_err(|bad| Problem::new("malformed", bad.body_text()))
    }
}
