//! The dates under signatures: the forms in which they are written, and for how long one counts.

use domain::Timestamp;

use super::failure::Failure;

/// How far the caller's clock may be from ours, on either side.
pub const WINDOW_SECONDS: i64 = 15 * 60;

const MONTHS: [&[u8]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// A date that was read, if it is near enough to `now`.
///
/// # Errors
/// `DateForm` if it could not be read, `Date` if it is too far away.
pub fn check(date: Option<Timestamp>, now: Timestamp) -> Result<Timestamp, Failure> {
    let date = date.ok_or(Failure::DateForm)?;
    let apart = date.as_millis().abs_diff(now.as_millis());
    if apart <= WINDOW_SECONDS.unsigned_abs() * 1000 { Ok(date) } else { Err(Failure::Date) }
}

/// `20261121T185952Z`.
#[must_use]
pub fn compact(text: &str) -> Option<Timestamp> {
    let [y1, y2, y3, y4, m1, m2, d1, d2, b'T', h1, h2, i1, i2, s1, s2, b'Z'] = text.as_bytes() else {
        return None;
    };
    read([y1, y2, y3, y4, m1, m2, d1, d2, h1, h2, i1, i2, s1, s2].map(|digit| *digit))
}

/// `2026-11-21T18:59:52Z`, and nothing else of what RFC 3339 allows.
#[must_use]
pub fn extended(text: &str) -> Option<Timestamp> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', i1, i2, b':', s1, s2, b'Z'] =
        text.as_bytes()
    else {
        return None;
    };
    read([y1, y2, y3, y4, m1, m2, d1, d2, h1, h2, i1, i2, s1, s2].map(|digit| *digit))
}

/// `Sat, 21 Nov 2026 18:59:52 GMT`. The name of the day is not compared with the date.
#[must_use]
pub fn http(text: &str) -> Option<Timestamp> {
    let rest = text.as_bytes().get(3..)?;
    #[rustfmt::skip]
    let [b',', b' ', d1, d2, b' ', n1, n2, n3, b' ', y1, y2, y3, y4, b' ',
        h1, h2, b':', i1, i2, b':', s1, s2, b' ', b'G', b'M', b'T'] = rest else { return None };
    let month = MONTHS.iter().position(|name| **name == [*n1, *n2, *n3])? + 1;
    let (m1, m2) = (digit(month / 10)?, digit(month % 10)?);
    read([*y1, *y2, *y3, *y4, m1, m2, *d1, *d2, *h1, *h2, *i1, *i2, *s1, *s2])
}

fn digit(number: usize) -> Option<u8> {
    u8::try_from(number).ok()?.checked_add(b'0')
}

/// Year, month, day, hour, minute and second in fourteen digits.
fn read(digits: [u8; 14]) -> Option<Timestamp> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let [y1, y2, y3, y4, m1, m2, d1, d2, h1, h2, i1, i2, s1, s2] =
        digits.map(|digit| i64::from(digit - b'0'));
    let (year, month, day) = (y1 * 1000 + y2 * 100 + y3 * 10 + y4, m1 * 10 + m2, d1 * 10 + d2);
    let (hour, minute, second) = (h1 * 10 + h2, i1 * 10 + i2, s1 * 10 + s2);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    };
    if !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some(Timestamp::from_millis(seconds * 1000))
}

/// Days from the first of January 1970. Years are counted from March, so that the leap day is their last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn a_date_counts_for_fifteen_minutes_on_either_side() {
        for (now, right) in [
            ("2026-01-01T00:15:00Z", true),
            ("2025-12-31T23:45:00Z", true),
            ("2026-01-01T00:15:01Z", false),
            ("2025-12-31T23:44:59Z", false),
            ("2036-01-01T00:00:00Z", false),
        ] {
            for date in [
                compact("20260101T000000Z"),
                extended("2026-01-01T00:00:00Z"),
                http("Thu, 01 Jan 2026 00:00:00 GMT"),
            ] {
                assert_eq!(check(date, at(now)).is_ok(), right, "{now}");
            }
        }
        assert_eq!(check(None, at("2026-01-01T00:00:00Z")), Err(Failure::DateForm));
    }

    #[test]
    fn every_day_is_the_calendars() {
        for day in (-719_000..2_900_000).step_by(37) {
            let at = Timestamp::from_millis(day * 86_400_000 + 45_296_000);
            let text = at.format("%Y%m%dT%H%M%SZ");
            assert_eq!(compact(&text), Some(at), "{text}");
        }
        for bad in ["20260229T000000Z", "21000229T000000Z", "20260431T000000Z", "20260100T000000Z"] {
            assert_eq!(compact(bad), None, "{bad}");
        }
        for bad in ["20260101T240000Z", "20260101T006000Z", "20260101T000060Z", "20260001T000000Z"] {
            assert_eq!(compact(bad), None, "{bad}");
        }
        assert_eq!(compact("20240229T235959Z"), Some(at("2024-02-29T23:59:59Z")));
    }

    #[test]
    fn a_date_in_another_form_is_none() {
        for bad in ["", "20260101", "2026-01-01T00:00Z", "20261301T000000Z", "20260101T000000"] {
            assert_eq!(compact(bad), None, "{bad}");
        }
        for bad in ["20260101X000000Z", "é0260101T00000Z", "2026010 T000000Z", "+0260101T000000Z"] {
            assert_eq!(compact(bad), None, "{bad}");
        }
        for bad in ["2026-01-01T00:00:00+00:00", "2026-01-01T00:00:00.0Z", "2026-01-01 00:00:00Z", "é"] {
            assert_eq!(extended(bad), None, "{bad}");
        }
        for bad in ["", "Thu, 01 Jan 2026 00:00:00 UTC", "Thu, 41 Jan 2026 00:00:00 GMT", "é, 01 Jan"] {
            assert_eq!(http(bad), None, "{bad}");
        }
        assert_eq!(http("Sat, 21 Nov 2026 18:59:52 GMT"), Some(at("2026-11-21T18:59:52Z")));
    }
}
