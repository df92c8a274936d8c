//! The trace of the request that caused a fact: W3C Trace Context, as far as it is passed on.
//!
//! Owns the one value that travels, `traceparent`, and its check. Makes no spans and draws no ids: that is the embedder's. The state of
//! vendors (`tracestate`) is not passed on, which the recommendation allows.
//!
//! <https://www.w3.org/TR/trace-context/>

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The flags that are passed on: *sampled*, and *random* of level 2. Others are reserved, and are cleared.
const FLAGS: u8 = 0b11;
/// The length of version 00, and of what every later version begins with.
const CHARS: usize = 55;

/// Where a request stands in its trace: the trace, the caller's span, and whether it is sampled.
///
/// It is no part of what is asked for: two requests that differ in it alone are the same request.
///
/// ```
/// use flashsale_core::TraceParent;
/// let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let trace: TraceParent = text.parse()?;
/// assert_eq!(trace.to_string(), text);
/// // What is malformed is ignored, never a reason to refuse anything.
/// assert_eq!(TraceParent::read(b"00-4bf92f-00f067-01"), None);
/// # Ok::<(), flashsale_core::trace::TraceError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceParent {
    trace: u128,
    parent: u64,
    flags: u8,
}

/// Says that a text is no `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no traceparent of W3C Trace Context")]
pub struct TraceError;

impl TraceParent {
    /// Reads a header; `None` if it is malformed, which means that there is no trace.
    ///
    /// A later version is read as far as this one goes, and is passed on as this one.
    #[must_use]
    pub fn read(header: &[u8]) -> Option<Self> {
        let dash = |at: usize| header.get(at) == Some(&b'-');
        if header.len() < CHARS || !dash(2) || !dash(35) || !dash(52) {
            return None;
        }
        let version = hex(&header[..2])?;
        let ends = header.len() == CHARS || (version > 0 && dash(CHARS));
        if version == 0xff || !ends {
            return None;
        }
        let (trace, parent) = (hex(&header[3..35])?, hex(&header[36..52])?);
        let flags = u8::try_from(hex(&header[53..CHARS])?).ok()? & FLAGS;
        let parent = u64::try_from(parent).ok()?;
        (trace != 0 && parent != 0).then_some(Self { trace, parent, flags })
    }
}

/// The number of lower-case hexadecimal digits, at most 32 of them.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number: u128, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some((number << 4) | u128::from(digit))
    })
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.parent, self.flags)
    }
}

impl fmt::Debug for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TraceParent {
    type Err = TraceError;

    fn from_str(text: &str) -> Result<Self, TraceError> {
        Self::read(text.as_bytes()).ok_or(TraceError)
    }
}

impl TryFrom<String> for TraceParent {
    type Error = TraceError;

    fn try_from(text: String) -> Result<Self, TraceError> {
        text.parse()
    }
}

impl From<TraceParent> for String {
    fn from(trace: TraceParent) -> Self {
        trace.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn read(text: &str) -> Option<String> {
        TraceParent::read(text.as_bytes()).map(|trace| trace.to_string())
    }

    #[test]
    fn what_is_well_formed_is_passed_on_as_it_came() {
        assert_eq!(read(GOOD).as_deref(), Some(GOOD));
        for flags in ["00", "02", "03"] {
            let text = format!("{}{flags}", &GOOD[..53]);
            assert_eq!(read(&text), Some(text));
        }
    }

    #[test]
    fn reserved_flags_are_cleared() {
        assert_eq!(read(&format!("{}ff", &GOOD[..53])), Some(format!("{}03", &GOOD[..53])));
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        assert_eq!(read(&GOOD.replacen("00", "cc", 1)).as_deref(), Some(GOOD));
        assert_eq!(
            read(&format!("{}-what-the-future-will-be-like", GOOD.replacen("00", "cc", 1))).as_deref(),
            Some(GOOD)
        );
        assert_eq!(read(&format!("{}.what", GOOD.replacen("00", "cc", 1))), None);
    }

    #[test]
    fn what_is_malformed_is_no_trace() {
        let cases = [
            String::new(),
            GOOD[..54].to_owned(),
            format!("{GOOD}-"),
            format!("{GOOD}0"),
            format!(" {GOOD}"),
            GOOD.replacen("00", "ff", 1),
            GOOD.replacen("00", "0x", 1),
            GOOD.to_uppercase(),
            GOOD.replace('-', "_"),
            GOOD.replacen("4bf9", "4bg9", 1),
            GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            GOOD.replace("-01", "-0g"),
            GOOD.replacen('4', "ü", 1),
        ];
        for bad in cases {
            assert_eq!(read(&bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_defect(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = TraceParent::read(&bytes);
        }

        #[test]
        fn what_is_written_is_read_back(trace in 1_u128.., parent in 1_u64.., flags in 0..=FLAGS) {
            let written = TraceParent { trace, parent, flags };
            prop_assert_eq!(TraceParent::read(written.to_string().as_bytes()), Some(written));
        }
    }
}
