//! Events as bytes: CloudEvents 1.0 in Kafka's binary mode.
//!
//! The attributes are headers with the prefix `ce_`, the value is the fact's data as JSON, the key is the event's subject. Whoever
//! reads skips fields that he does not know, skips kinds that are newer than he is, and refuses another major version.
//! [CloudEvents, Kafka binding](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md).

use flashsale_core::event::{Event, Fact};
use flashsale_core::{SaleId, Timestamp, TraceParent};
use serde_json::value::RawValue;

/// The major version of every type.
const MAJOR: &str = "v1";
const SPEC: &str = "1.0";
const JSON: &str = "application/json";

/// An event as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Attributes, in the order in which they are sent.
    pub headers: Vec<(&'static str, String)>,
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
pub fn encode(prefix: &str, event: &Event) -> Record {
    let kind = event.fact.kind();
    let whole = serde_json::to_string(&event.fact).expect("a fact is JSON");
    // `{"kind":"..","data":{..}}`: what is inside.
    let head = "{\"kind\":\"\",\"data\":".len() + kind.len();
    let mut value = whole;
    value.pop();
    value.drain(..head);
    let producer = Fact::TABLE.iter().find(|row| row.0 == kind).map_or("", |row| row.2);
    let mut headers = vec![
        ("content-type", JSON.to_owned()),
        ("ce_specversion", SPEC.to_owned()),
        ("ce_id", event.id()),
        ("ce_source", format!("/{prefix}/{producer}")),
        ("ce_type", format!("{prefix}.{kind}.{MAJOR}")),
        ("ce_subject", event.subject.clone()),
        ("ce_time", event.time.to_string()),
        ("ce_partitionkey", event.subject.clone()),
        ("ce_subjectversion", event.version.to_string()),
    ];
    headers.extend(event.sale.as_ref().map(|sale| ("ce_sale", sale.to_string())));
    if let Some(trace) = event.trace {
        // The extension of distributed tracing; and as tools read it that know traces and no CloudEvents. We are one hop, so they are alike.
        headers.extend([("ce_traceparent", trace.to_string()), ("traceparent", trace.to_string())]);
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
    // One value of JSON and nothing behind it, before it is put between our own braces.
    let value: &RawValue = serde_json::from_slice(value).map_err(|why| bad(format!("the data of {kind}: {why}")))?;
    let whole = format!("{{\"kind\":\"{kind}\",\"data\":{value}}}");
    serde_json::from_str(&whole).map_err(|why| bad(format!("the data of {kind}: {why}")))
}
