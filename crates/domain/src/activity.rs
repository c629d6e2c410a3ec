//! Of which time it is known who was active. Logs come in files; what several of them cover together is what counts.

use crate::Timestamp;

/// Files that end and begin no further apart than this follow each other: between two entries nothing was to be said.
const TOUCHING_MILLIS: i64 = 60_000;

/// A time, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Its first instant.
    pub from: Timestamp,
    /// Its last one.
    pub to: Timestamp,
}

/// The same time in as few spans as possible, the first one first.
#[must_use]
pub fn merged(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort();
    let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.from.as_millis() <= last.to.as_millis().saturating_add(TOUCHING_MILLIS) => {
                last.to = last.to.max(span.to);
            }
            Some(_) | None => merged.push(span),
        }
    }
    merged
}

/// What of `wanted` is not in `spans`: from the first instant that is missing to the next one that is there.
#[must_use]
pub fn first_gap(spans: Vec<Span>, wanted: &Span) -> Option<Span> {
    let spans = merged(spans);
    let mut from = wanted.from;
    for span in spans.iter().filter(|span| span.to >= wanted.from) {
        if span.from > from {
            return Some(Span { from, to: span.from.min(wanted.to) });
        }
        if span.to >= wanted.to {
            return None;
        }
        from = span.to;
    }
    Some(Span { from, to: wanted.to })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from: i64, to: i64) -> Span {
        Span { from: Timestamp::from_millis(from * 1000), to: Timestamp::from_millis(to * 1000) }
    }

    #[test]
    fn spans_that_overlap_or_touch_are_one_and_a_gap_stays_a_gap() {
        let all = vec![span(500, 600), span(0, 100), span(150, 200), span(90, 120), span(261, 300)];
        assert_eq!(merged(all), [span(0, 200), span(261, 300), span(500, 600)]);
        assert_eq!(merged(vec![span(0, 900), span(10, 20)]), [span(0, 900)]);
        assert!(merged(Vec::new()).is_empty());
    }

    #[test]
    fn what_is_missing_is_the_first_time_that_no_span_covers() {
        let wanted = span(1000, 2000);
        for (spans, gap) in [
            (vec![], Some(wanted)),
            (vec![span(1000, 2000)], None),
            (vec![span(0, 5000)], None),
            (vec![span(0, 1500), span(1560, 2000)], None),
            (vec![span(0, 1500), span(1561, 2000)], Some(span(1500, 1561))),
            (vec![span(1001, 2000)], Some(span(1000, 1001))),
            (vec![span(0, 1999)], Some(span(1999, 2000))),
            (vec![span(0, 10), span(3000, 4000)], Some(wanted)),
        ] {
            assert_eq!(first_gap(spans.clone(), &wanted), gap, "{spans:?}");
        }
    }
}
