//! Whether a database is the one that wrote a mark, or an older copy of it. Pure.
//!
//! Every start of a server adds an entry to the database's lineage: a random id, and how many commits there were in
//! all accounts together at that instant. A [`Stamp`] is the latest entry's id and that number, read in one snapshot,
//! and is kept where a copy of the database does not reach: in every cluster, and beside the master key. A database
//! that does not know a stamp's entry, or had fewer commits under it than the stamp says, is an older copy, or a copy
//! that went its own way.

use crate::Timestamp;

/// How far a database had come when somebody looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The id of the lineage's latest entry.
    pub lineage: String,
    /// The number of commits of all accounts together.
    pub sum: i64,
    /// When it was read, by the clock of who read it.
    pub at: Timestamp,
}

/// Why the lineage has an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineageKind {
    /// A server started.
    Start,
    /// The operator confirmed that this database counts from now on, whatever others saw before.
    Confirm,
}

impl LineageKind {
    /// As it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Confirm => "confirm",
        }
    }

    /// Reads what [`LineageKind::as_str`] writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Start, Self::Confirm].into_iter().find(|known| known.as_str() == text)
    }
}

/// An entry of a database's lineage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineageEntry {
    /// Random, so that two copies of a database have no entry in common that either made after the copying.
    pub id: String,
    /// Why it was made.
    pub kind: LineageKind,
    /// The number of commits of all accounts together when it was made.
    pub total: i64,
    /// When it was made.
    pub at: Timestamp,
}

/// What a stamp says about a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The database has come at least as far.
    Consistent,
    /// It has not, and the operator said after the stamp was made that it counts nevertheless.
    Confirmed,
    /// It is an older copy, or one that went its own way.
    Older,
}

/// Compares a stamp with a database: its lineage from the first entry to the last, and its commits by now.
///
/// The stamp must have been written before the database was read. Clocks are compared for one thing only: to know
/// which stamps a confirmation was about.
#[must_use]
pub fn judge(lineage: &[LineageEntry], sum: i64, stamp: &Stamp) -> Standing {
    if let Some(at) = lineage.iter().position(|entry| entry.id == stamp.lineage) {
        // No commit came between two entries unseen: each is made while nobody can commit.
        let reached = lineage.get(at + 1).map_or(sum, |next| next.total);
        if stamp.sum <= reached {
            return Standing::Consistent;
        }
    }
    let confirms = |entry: &LineageEntry| entry.kind == LineageKind::Confirm && entry.at >= stamp.at;
    if lineage.iter().any(confirms) { Standing::Confirmed } else { Standing::Older }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str, kind: LineageKind, total: i64, at: i64) -> LineageEntry {
        LineageEntry { id: id.into(), kind, total, at: Timestamp::from_millis(at) }
    }

    fn start(id: &str, total: i64, at: i64) -> LineageEntry {
        entry(id, LineageKind::Start, total, at)
    }

    fn stamp(lineage: &str, sum: i64, at: i64) -> Stamp {
        Stamp { lineage: lineage.into(), sum, at: Timestamp::from_millis(at) }
    }

    #[test]
    fn a_database_that_only_went_on_is_never_taken_for_an_older_one() {
        // Whatever stamp was read at any instant of a history, the database stands by it at any later one.
        let mut lineage: Vec<LineageEntry> = Vec::new();
        let mut stamps = Vec::new();
        let mut sum = 0;
        for step in 0..200_i64 {
            match step % 7 {
                0 => lineage.push(start(&format!("l{step}"), sum, step)),
                3 | 5 => sum += step % 3,
                _ => {}
            }
            if let Some(latest) = lineage.last() {
                stamps.push(stamp(&latest.id, sum, step));
            }
            for stamp in &stamps {
                assert_eq!(judge(&lineage, sum, stamp), Standing::Consistent, "{stamp:?} at step {step}");
            }
        }
    }

    #[test]
    fn an_older_copy_is_known_however_far_it_goes_on() {
        let yesterday = [start("a", 0, 0), start("b", 5, 10)];
        let lost = stamp("b", 9, 20);
        assert_eq!(judge(&yesterday, 7, &lost), Standing::Older, "not started yet");
        let mut restarted = yesterday.to_vec();
        restarted.push(start("c", 7, 30));
        for sum in [7, 9, 1000] {
            assert_eq!(judge(&restarted, sum, &lost), Standing::Older, "gone on to {sum}");
        }
        assert_eq!(judge(&restarted, 1000, &stamp("z", 6, 20)), Standing::Older, "started since the copy");
    }

    #[test]
    fn a_confirmation_is_about_the_stamps_before_it_and_no_later_ones() {
        let lineage =
            [start("a", 0, 0), start("b", 7, 30), entry("c", LineageKind::Confirm, 8, 40), start("d", 9, 50)];
        assert_eq!(judge(&lineage, 9, &stamp("a", 9, 20)), Standing::Confirmed);
        assert_eq!(judge(&lineage, 9, &stamp("z", 3, 40)), Standing::Confirmed);
        assert_eq!(judge(&lineage, 9, &stamp("z", 3, 41)), Standing::Older, "of another copy that lives on");
        assert_eq!(judge(&lineage, 9, &stamp("d", 10, 60)), Standing::Older, "restored once more");
        assert_eq!(judge(&lineage, 9, &stamp("c", 9, 45)), Standing::Consistent);
    }
}
