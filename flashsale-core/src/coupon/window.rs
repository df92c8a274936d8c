//! When a daily window opens: a wall-clock time in a time zone, right over daylight-saving changes.

use std::fmt;

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Says why a wall-clock time or zone is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ZoneError {
    /// Not `HH:MM`.
    #[error("a time of day is HH:MM from 00:00 to 23:59, not {0}")]
    Time(String),
    /// Not in the IANA database.
    #[error("there is no time zone {0}")]
    Zone(String),
}

/// A time of day in an IANA time zone, such as 13:00 in Asia/Seoul.
///
/// Where the clocks are put forward over that time, the window opens that day at the moment of the change's end plus what was
/// skipped (02:30 becomes 03:30); where they are put back, at the first of the two (RFC 5545's "compatible" rule).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "DailyText", into = "DailyText")]
pub struct Daily {
    at: Time,
    zone: TimeZone,
}

#[derive(Serialize, Deserialize)]
struct DailyText {
    at: String,
    zone: String,
}

impl TryFrom<DailyText> for Daily {
    type Error = ZoneError;
    fn try_from(text: DailyText) -> Result<Self, ZoneError> {
        Self::new(&text.at, &text.zone)
    }
}

impl From<Daily> for DailyText {
    fn from(daily: Daily) -> Self {
        Self { at: daily.at_text(), zone: daily.zone_name().to_owned() }
    }
}

/// One opening: which window, from when to when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// Its label: the local date on which it opens.
    pub label: String,
    /// Its first moment.
    pub opens_at: Timestamp,
    /// The first moment of the next one.
    pub closes_at: Timestamp,
}

impl Daily {
    /// `at` as `HH:MM`, `zone` as an IANA name.
    ///
    /// # Errors
    /// [`ZoneError::Time`], [`ZoneError::Zone`], in this order.
    pub fn new(at: &str, zone: &str) -> Result<Self, ZoneError> {
        let time = at
            .split_once(':')
            .filter(|(h, m)| h.len() == 2 && m.len() == 2)
            .and_then(|(h, m)| Some((h.parse::<i8>().ok()?, m.parse::<i8>().ok()?)))
            .and_then(|(h, m)| Time::new(h, m, 0, 0).ok())
            .ok_or_else(|| ZoneError::Time(at.to_owned()))?;
        let zone = TimeZone::get(zone).map_err(|_| ZoneError::Zone(zone.to_owned()))?;
        Ok(Self { at: time, zone })
    }

    /// The time of day as `HH:MM`.
    #[must_use]
    pub fn at_text(&self) -> String {
        format!("{:02}:{:02}", self.at.hour(), self.at.minute())
    }

    /// The IANA name of the zone.
    #[must_use]
    pub fn zone_name(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// The window that is open at `now`: it opened today, or yesterday if today's is still to come.
    #[must_use]
    pub fn open_at(&self, now: Timestamp) -> Opening {
        let local = self.local_date(now);
        let today = self.opens_on(local);
        let opened = if now >= today { local } else { local.yesterday().unwrap_or(local) };
        let next = opened.tomorrow().unwrap_or(opened);
        Opening { label: opened.to_string(), opens_at: self.opens_on(opened), closes_at: self.opens_on(next) }
    }

    fn local_date(&self, now: Timestamp) -> Date {
        let instant = jiff::Timestamp::from_millisecond(now.ms()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        self.zone.to_datetime(instant).date()
    }

    fn opens_on(&self, date: Date) -> Timestamp {
        let instant = self.zone.to_ambiguous_zoned(date.to_datetime(self.at)).compatible();
        Timestamp::from_ms(instant.map(|zoned| zoned.timestamp().as_millisecond()).unwrap_or(i64::MAX))
    }

    /// The same local time `months` months and `days` days after `from`; the 31st becomes the last day of a shorter month.
    #[must_use]
    pub fn later(&self, from: Timestamp, months: u32, days: u32) -> Timestamp {
        let Ok(instant) = jiff::Timestamp::from_millisecond(from.ms()) else { return Timestamp::FAR };
        let span = jiff::Span::new()
            .try_months(months)
            .and_then(|span| span.try_days(days))
            .and_then(|span| instant.to_zoned(self.zone.clone()).checked_add(span));
        span.map_or(Timestamp::FAR, |zoned| Timestamp::from_ms(zoned.timestamp().as_millisecond()))
    }
}

impl fmt::Debug for Daily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.at_text(), self.zone_name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_ms(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    #[test]
    fn thirteen_in_seoul_is_four_in_utc() {
        let daily = Daily::new("13:00", "Asia/Seoul").unwrap();
        let before = daily.open_at(at("2026-11-22T03:59:59.999Z"));
        assert_eq!((before.label.as_str(), before.closes_at), ("2026-11-21", at("2026-11-22T04:00:00Z")));
        let open = daily.open_at(at("2026-11-22T04:00:00Z"));
        assert_eq!((open.label.as_str(), open.opens_at), ("2026-11-22", at("2026-11-22T04:00:00Z")));
        assert_eq!(open.closes_at, at("2026-11-23T04:00:00Z"));
    }

    #[test]
    fn a_skipped_time_opens_later_that_day_and_a_repeated_one_once() {
        let daily = Daily::new("02:30", "America/New_York").unwrap();
        let spring = daily.open_at(at("2026-03-08T12:00:00Z"));
        assert_eq!((spring.label.as_str(), spring.opens_at), ("2026-03-08", at("2026-03-08T07:30:00Z")));
        let daily = Daily::new("01:30", "America/New_York").unwrap();
        let autumn = daily.open_at(at("2026-11-01T12:00:00Z"));
        assert_eq!((autumn.label.as_str(), autumn.opens_at), ("2026-11-01", at("2026-11-01T05:30:00Z")));
        assert_eq!(autumn.closes_at, at("2026-11-02T06:30:00Z"), "that day has 25 hours");
    }

    #[test]
    fn windows_follow_each_other_without_gap_or_overlap() {
        for zone in ["Asia/Seoul", "America/New_York", "Australia/Lord_Howe", "UTC"] {
            let daily = Daily::new("02:15", zone).unwrap();
            let mut window = daily.open_at(at("2026-01-01T12:00:00Z"));
            for _ in 0..400 {
                let next = daily.open_at(window.closes_at);
                assert_eq!(next.opens_at, window.closes_at);
                assert_ne!(next.label, window.label);
                window = next;
            }
        }
    }

    #[test]
    fn one_month_from_the_31st_is_the_last_day_of_the_next_month() {
        let daily = Daily::new("13:00", "Asia/Seoul").unwrap();
        assert_eq!(daily.later(at("2026-01-31T04:00:00Z"), 1, 0), at("2026-02-28T04:00:00Z"));
        assert_eq!(daily.later(at("2028-01-31T04:00:00Z"), 1, 0), at("2028-02-29T04:00:00Z"));
        assert_eq!(daily.later(at("2026-01-15T04:00:00Z"), 0, 30), at("2026-02-14T04:00:00Z"));
    }

    #[test]
    fn what_is_no_time_or_zone_is_refused() {
        for bad in ["", "1:00", "24:00", "12:60", "aa:bb", "12:00:00", "-1:00", "12:3é"] {
            assert!(matches!(Daily::new(bad, "UTC"), Err(ZoneError::Time(_))), "{bad}");
        }
        assert!(matches!(Daily::new("12:00", "Mars/Olympus"), Err(ZoneError::Zone(_))));
    }
}
