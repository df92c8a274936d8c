//! Events as bytes: CloudEvents 1.0 in Kafka's binary mode.
//!
//! The attributes are headers with the prefix `ce_`, the value is the fact's data as JSON, the key is the event's subject. Whoever
//! reads skips fields that he does not know, skips kinds that are newer than he is, and refuses another major version.
//! [CloudEvents, Kafka binding](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md).

use std::borrow::Cow;

use flashsale_core::event::{Event, Fact};
use flashsale_core::{SaleId, Timestamp, TraceParent};
use serde::Deserialize as _;
use serde::de::value::BorrowedStrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, IntoDeserializer as _, MapAccess, Visitor};
use serde::forward_to_deserialize_any;

/// The major version of every type.
const MAJOR: &str = "v1";
const SPEC: &str = "1.0";
const JSON: &str = "application/json";
/// How many headers an event has at most.
const HEADERS_MAX: usize = 12;
/// What serde writes of a fact before its kind, and between its kind and its data.
const TAGS: [&str; 2] = ["{\"kind\":\"", "\",\"data\":"];

/// An event as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<'a> {
    /// Attributes, in the order in which they are sent.
    pub headers: Vec<(&'static str, Cow<'a, str>)>,
    /// The fact's data.
    pub value: String,
}

/// Why a record is no event that this version can take up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// A fact that is newer than this program. Nobody here waits for it: it is passed over.
    #[error("nobody here knows {0}")]
    NewKind(String),
    /// Everything else: for a person to look at.
    #[error("{0}")]
    Bad(String),
}

/// Writes an event; `prefix` begins its type and its source.
///
/// # Panics
/// Never: every fact is an object of JSON.
#[must_use]
pub fn encode<'a>(prefix: &str, event: &'a Event) -> Record<'a> {
    let (kind, producer) = (event.fact.kind(), event.fact.producer());
    let mut value = serde_json::to_string(&event.fact).expect("a fact is JSON");
    // `{"kind":"..","data":{..}}`: what is inside.
    value.pop();
    value.drain(..TAGS[0].len() + kind.len() + TAGS[1].len());
    let mut headers: Vec<(&str, Cow<'_, str>)> = Vec::with_capacity(HEADERS_MAX);
    headers.extend([
        ("content-type", JSON.into()),
        ("ce_specversion", SPEC.into()),
        ("ce_id", event.id().into()),
        ("ce_source", ["/", prefix, "/", producer].concat().into()),
        ("ce_type", [prefix, ".", kind, ".", MAJOR].concat().into()),
        ("ce_subject", event.subject.as_str().into()),
        ("ce_time", event.time.to_string().into()),
        ("ce_partitionkey", event.subject.as_str().into()),
        ("ce_subjectversion", event.version.to_string().into()),
    ]);
    headers.extend(event.sale.as_ref().map(|sale| ("ce_sale", sale.as_str().into())));
    if let Some(trace) = event.trace {
        // The extension of distributed tracing; and as tools read it that know traces and no CloudEvents. We are one hop, so they are alike.
        let trace = trace.to_string();
        headers.extend([("ce_traceparent", trace.clone().into()), ("traceparent", trace.into())]);
    }
    Record { headers, value }
}

/// Reads an event from its headers and its value.
///
/// # Errors
/// [`Unread::NewKind`] if it may be passed over, [`Unread::Bad`] if not.
pub fn decode<'a>(
    prefix: &str,
    headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    value: &[u8],
) -> Result<Event, Unread> {
    let mut told = Told::default();
    for (name, value) in headers {
        // Malformed, it is no trace; the event is as good without.
        match name {
            "ce_traceparent" => told.trace = TraceParent::read(value).or(told.trace),
            "traceparent" => told.trace = told.trace.or_else(|| TraceParent::read(value)),
            _ => {}
        }
        let place = match name {
            "ce_specversion" => &mut told.spec,
            "ce_type" => &mut told.kind,
            "ce_subject" => &mut told.subject,
            "ce_time" => &mut told.time,
            "ce_subjectversion" => &mut told.version,
            "ce_sale" => &mut told.sale,
            _ => continue,
        };
        *place = Some(std::str::from_utf8(value).map_err(|_| bad(format!("{name} is not UTF-8")))?);
    }
    let must = |name: &str, value: Option<&'a str>| value.ok_or_else(|| bad(format!("{name} is missing")));
    let spec = must("ce_specversion", told.spec)?;
    if spec != SPEC {
        return Err(bad(format!("CloudEvents {spec}, not {SPEC}")));
    }
    let type_ = must("ce_type", told.kind)?;
    let kind = type_.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.'));
    let (kind, major) = kind.and_then(|rest| rest.rsplit_once('.')).ok_or_else(|| bad(format!("the type {type_}")))?;
    if major != MAJOR {
        return Err(bad(format!("{kind} of version {major}, this program reads {MAJOR}")));
    }
    if !Fact::TABLE.iter().any(|row| row.0 == kind) {
        return Err(Unread::NewKind(kind.to_owned()));
    }
    let subject = must("ce_subject", told.subject)?;
    let version = must("ce_subjectversion", told.version)?;
    let time = must("ce_time", told.time)?;
    Ok(Event {
        subject: subject.to_owned(),
        version: version.parse().map_err(|_| bad(format!("ce_subjectversion is {version}")))?,
        sale: told.sale.map(|sale| SaleId::new(sale).map_err(|why| bad(format!("ce_sale: {why}")))).transpose()?,
        time: instant(time).ok_or_else(|| bad(format!("ce_time is {time}")))?,
        fact: fact(kind, value)?,
        trace: told.trace,
    })
}

#[derive(Default)]
struct Told<'a> {
    spec: Option<&'a str>,
    kind: Option<&'a str>,
    subject: Option<&'a str>,
    time: Option<&'a str>,
    version: Option<&'a str>,
    sale: Option<&'a str>,
    trace: Option<TraceParent>,
}

fn bad(why: String) -> Unread {
    Unread::Bad(why)
}

fn instant(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp::from_ms(time.as_millisecond()))
}

fn fact(kind: &str, value: &[u8]) -> Result<Fact, Unread> {
    let why = |why: &dyn std::fmt::Display| bad(format!("the data of {kind}: {why}"));
    let text = std::str::from_utf8(value).map_err(|error| why(&error))?;
    let mut data = serde_json::Deserializer::from_str(text);
    let fact = Fact::deserialize(Tagged { kind, data: &mut data, next: Tag::Kind }).map_err(|error| why(&error))?;
    // One value of JSON, and nothing behind it.
    data.end().map_err(|error| why(&error))?;
    Ok(fact)
}

/// A kind and its data as serde reads a fact, `{"kind":..,"data":..}`, without the text of it.
struct Tagged<'a, 'd, 'de> {
    kind: &'a str,
    data: &'d mut serde_json::Deserializer<serde_json::de::StrRead<'de>>,
    next: Tag,
}

/// What comes next of a fact.
#[derive(Clone, Copy)]
enum Tag {
    Kind,
    Data,
    End,
}

impl<'de> Deserializer<'de> for Tagged<'_, '_, 'de> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_map(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq
        tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> MapAccess<'de> for Tagged<'_, '_, 'de> {
    type Error = serde_json::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Self::Error> {
        let name = match self.next {
            Tag::Kind => "kind",
            Tag::Data => "data",
            Tag::End => return Ok(None),
        };
        seed.deserialize(BorrowedStrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Self::Error> {
        if let Tag::Kind = self.next {
            self.next = Tag::Data;
            return seed.deserialize(self.kind.into_deserializer());
        }
        self.next = Tag::End;
        seed.deserialize(&mut *self.data)
    }
}
