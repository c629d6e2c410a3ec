//! Patterns with `*` (any text, also none) and `?` (exactly one character), without back-tracking.

/// A pattern that was taken apart once.
///
/// Matching walks the text from left to right and never returns behind what a piece matched: the leftmost place of a
/// piece leaves the most for the pieces after it, so trying later places cannot help. That takes O(text + pattern);
/// a piece between two `*` that holds a `?` takes O(text × piece) at worst. Nothing is allocated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Glob {
    /// What stands before the first `*`.
    first: Piece,
    /// What stands between and after the `*`; none if the pattern has no `*`.
    after_stars: Vec<Piece>,
}

impl Glob {
    /// Reads a pattern. Every text is one.
    pub(crate) fn new(pattern: &str) -> Self {
        let mut pieces = pattern.split('*').map(Piece::new);
        let first = pieces.next().unwrap_or_else(|| Piece::new(""));
        Self { first, after_stars: pieces.collect() }
    }

    /// What begins with `text`, taken as it is.
    pub(crate) fn begins_with(text: &str) -> Self {
        Self { first: Piece::literal(text), after_stars: vec![Piece::literal("")] }
    }

    /// What ends with `text`, taken as it is.
    pub(crate) fn ends_with(text: &str) -> Self {
        Self { first: Piece::literal(""), after_stars: vec![Piece::literal(text)] }
    }

    /// Whether `text` is one of those that the pattern means.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let Some((last, middle)) = self.after_stars.split_last() else {
            return self.first.after(text).is_some_and(str::is_empty);
        };
        let mut left = self.first.after(text);
        for piece in middle {
            left = left.and_then(|left| piece.after_first(left));
        }
        left.is_some_and(|left| last.ends(left))
    }

    /// Whether the pattern means every text there is.
    pub(crate) fn means_everything(&self) -> bool {
        let mut pieces = std::iter::once(&self.first).chain(&self.after_stars);
        !self.after_stars.is_empty() && pieces.all(|piece| piece.text.is_empty())
    }
}

impl Glob {
    /// Whether every text that `other` means is one that this means. `false` where that is not plain to see.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        // The other pattern is read as a text in which a `*` or a `?` is a letter that only a `*`, or a `?`, means.
        // What is written between may be such a letter as well, so a literal one is never taken for a wildcard.
        self.first.holds_only_letters(&self.after_stars)
            && other.first.holds_only_letters(&other.after_stars)
            && self.matches_symbols(&other.symbols())
    }

    /// Whether no text is meant by both. `false` where that is not plain to see.
    pub(crate) fn is_apart_from(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.symbols(), other.symbols());
        let literal = |symbol: &&Symbol| matches!(symbol, Symbol::Letter(_));
        let mut heads = ours.iter().take_while(literal).zip(theirs.iter().take_while(literal));
        if heads.any(|(a, b)| a != b) {
            return true;
        }
        match (self.after_stars.is_empty(), other.after_stars.is_empty()) {
            (true, true) => ours.len() != theirs.len(),
            (true, false) | (false, true) | (false, false) => false,
        }
    }

    fn symbols(&self) -> Vec<Symbol> {
        let mut symbols = self.first.symbols();
        for piece in &self.after_stars {
            symbols.push(Symbol::Any);
            symbols.extend(piece.symbols());
        }
        symbols
    }

    /// As [`Glob::matches`], over the symbols of a pattern; quadratic at worst.
    fn matches_symbols(&self, text: &[Symbol]) -> bool {
        let mut reached = vec![false; text.len() + 1];
        if let Some(first) = reached.first_mut() {
            *first = true;
        }
        for own in self.symbols() {
            let mut next = vec![false; text.len() + 1];
            let mut open = false;
            for (at, slot) in next.iter_mut().enumerate() {
                let came = reached.get(at).copied().unwrap_or(false);
                let before = at.checked_sub(1);
                *slot = match own {
                    Symbol::Any => {
                        open |= came;
                        open
                    }
                    Symbol::One | Symbol::Letter(_) => before.is_some_and(|before| {
                        let was = reached.get(before).copied().unwrap_or(false);
                        was && text.get(before).is_some_and(|symbol| own.means(*symbol))
                    }),
                };
            }
            reached = next;
        }
        reached.last().copied().unwrap_or(false)
    }
}

/// A pattern's letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Symbol {
    Letter(char),
    One,
    Any,
}

impl Symbol {
    /// Whether whatever `other` stands for is one letter that this stands for.
    fn means(self, other: Self) -> bool {
        match (self, other) {
            (Self::One, Self::Letter(_) | Self::One) => true,
            (Self::Letter(own), Self::Letter(letter)) => own == letter,
            (Self::Letter(_), Self::One) | (_, Self::Any) | (Self::Any, _) => false,
        }
    }
}

/// A part of a pattern without `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    text: String,
    /// Whether a `?` in it stands for any character.
    holds_marks: bool,
}

impl Piece {
    fn new(text: &str) -> Self {
        Self { text: text.to_owned(), holds_marks: text.contains('?') }
    }

    fn literal(text: &str) -> Self {
        Self { text: text.to_owned(), holds_marks: false }
    }

    /// Whether no letter of it or of `others` that looks like a wildcard is meant as it is.
    fn holds_only_letters(&self, others: &[Self]) -> bool {
        let plain = |piece: &Self| piece.holds_marks || !piece.text.contains(['?', '*']);
        plain(self) && others.iter().all(plain)
    }

    fn symbols(&self) -> Vec<Symbol> {
        let symbol = |c| if c == '?' && self.holds_marks { Symbol::One } else { Symbol::Letter(c) };
        self.text.chars().map(symbol).collect()
    }

    /// What follows if `text` begins with this piece.
    fn after<'t>(&self, text: &'t str) -> Option<&'t str> {
        if !self.holds_marks {
            return text.strip_prefix(self.text.as_str());
        }
        let mut found = text.chars();
        let begins = self.text.chars().all(|want| found.next().is_some_and(|c| want == '?' || want == c));
        begins.then_some(found.as_str())
    }

    /// What follows the leftmost place of this piece.
    fn after_first<'t>(&self, text: &'t str) -> Option<&'t str> {
        if !self.holds_marks {
            return text.split_once(self.text.as_str()).map(|(_, after)| after);
        }
        let mut from = text.chars();
        loop {
            if let Some(after) = self.after(from.as_str()) {
                return Some(after);
            }
            from.next()?;
        }
    }

    fn ends(&self, text: &str) -> bool {
        if !self.holds_marks {
            return text.ends_with(self.text.as_str());
        }
        let mut found = text.chars().rev();
        self.text.chars().rev().all(|want| found.next().is_some_and(|c| want == '?' || want == c))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Glob;

    /// The definition, written down as it is; slow.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), None) => naive(rest, text),
            (Some(('*', rest)), Some((_, left))) => naive(rest, text) || naive(pattern, left),
            (Some(('?', rest)), Some((_, left))) => naive(rest, left),
            (Some((want, rest)), Some((found, left))) => want == found && naive(rest, left),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }

    #[test]
    fn stars_and_question_marks_mean_what_is_documented() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything: at/all", true),
            ("?", "", false),
            ("?", "é", true),
            ("?", "ab", false),
            ("a*b", "ab", true),
            ("a*b", "a", false),
            ("a*a", "a", false),
            ("fleet:*:list", "fleet:cluster:list", true),
            ("fleet:*:list", "fleet::list", true),
            ("fleet:*:list", "fleet:list", false),
            ("**?", "x", true),
            ("*?*", "", false),
            ("pod-???", "pod-abc", true),
            ("*-?-*", "a--b-c-d", true),
        ] {
            assert_eq!(Glob::new(pattern).matches(text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_literal_beginning_or_end_has_no_wildcards() {
        assert!(Glob::begins_with("a*").matches("a*b") && !Glob::begins_with("a*").matches("ab"));
        assert!(Glob::ends_with("?b").matches("a?b") && !Glob::ends_with("?b").matches("aab"));
    }

    #[test]
    fn only_stars_mean_everything() {
        assert!(Glob::new("*").means_everything() && Glob::new("***").means_everything());
        for other in ["", "?", "*?", "a*", "*:*"] {
            assert!(!Glob::new(other).means_everything(), "{other}");
        }
    }

    #[test]
    fn a_pattern_made_to_take_for_ever_does_not() {
        // With back-tracking this is a matter of years.
        let pattern = "*a".repeat(5_000) + "b";
        assert!(!Glob::new(&pattern).matches(&"a".repeat(100_000)));
        assert!(!Glob::new(&("a?*".repeat(100) + "b")).matches(&"a".repeat(10_000)));
    }

    proptest! {
        #[test]
        fn matching_agrees_with_the_definition(pattern in "[ab*?]{0,8}", text in "[abé]{0,10}") {
            let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(Glob::new(&pattern).matches(&text), naive(&p, &t));
        }
    }
}
