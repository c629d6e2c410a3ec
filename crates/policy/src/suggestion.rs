//! "Did you mean": the known word that is nearest to a misspelt one.

/// The nearest of `known`, if it is near enough to be what was meant.
pub(crate) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // Long words are not misspellings, and comparing takes the product of the lengths.
    let word: Vec<char> = word.chars().take(64).map(|c| c.to_ascii_lowercase()).collect();
    let measured = known.into_iter().map(|candidate| (distance(&word, candidate), candidate));
    let (distance, best) = measured.min_by_key(|(distance, _)| *distance)?;
    (distance <= best.len() / 3).then_some(best)
}

/// How many characters must be changed, added or taken away, upper and lower case being the same.
fn distance(word: &[char], candidate: &str) -> usize {
    let mut row: Vec<usize> = (0..=word.len()).collect();
    for (at, want) in candidate.chars().map(|c| c.to_ascii_lowercase()).enumerate() {
        let mut next = Vec::with_capacity(row.len());
        let mut left = at + 1;
        next.push(left);
        for ((found, above_left), above) in word.iter().zip(&row).zip(row.iter().skip(1)) {
            let changed = above_left + usize::from(*found != want);
            left = changed.min(above + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_misspelt_word_finds_the_right_one() {
        let known = ["NumberEquals", "StringEquals", "StringNotEquals"];
        assert_eq!(nearest("NumericEquals", known), Some("NumberEquals"));
        assert_eq!(nearest("stringequals", known), Some("StringEquals"));
        assert_eq!(nearest("StringNotEqual", known), Some("StringNotEquals"));
        assert_eq!(nearest("Frobnicate", known), None);
        assert_eq!(nearest(&"x".repeat(100_000), known), None);
    }
}
