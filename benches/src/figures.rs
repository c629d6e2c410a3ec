//! Figures of several rounds: their median, and how far they lie apart.

/// What the rounds gave, in their order.
#[derive(Default)]
pub struct Figures(Vec<f64>);

impl Figures {
    /// Adds a round's figure.
    pub fn push(&mut self, figure: f64) {
        self.0.push(figure);
    }

    /// The ratios round by round: what disturbs the machine disturbs both.
    pub fn over(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(ours, theirs)| ours / theirs).collect())
    }

    /// Median, least and most.
    pub fn show(&self, unit: &str) -> String {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        let (low, middle, high) = (at(0), at(sorted.len() / 2), at(sorted.len().saturating_sub(1)));
        let digits = if middle >= 100.0 { 0 } else { 2 };
        format!("median {middle:.digits$} {unit} (min {low:.digits$}, max {high:.digits$})")
            .replace("  ", " ")
    }
}
