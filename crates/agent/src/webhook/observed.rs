//! What others see of the webhook: counts, as the text that Prometheus reads.

use std::sync::atomic::{AtomicU64, Ordering};

/// What is counted.
#[derive(Debug, Default)]
pub struct Counts {
    /// Pods that were missed, when it was last looked.
    pub not_injected: AtomicU64,
    /// Namespaces in which it could not be looked for them.
    pub namespaces_not_seen: AtomicU64,
    /// Pods that were changed.
    pub patched: AtomicU64,
    /// Reviews that asked for no change.
    pub passed: AtomicU64,
    /// Reviews that were let through because nothing was known.
    pub warned: AtomicU64,
    /// Reviews that were refused because nothing was known.
    pub refused: AtomicU64,
}

impl Counts {
    /// The text.
    #[must_use]
    pub fn text(&self) -> String {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let text = String::from(
            "# HELP bailiwick_agent_pods_not_injected Pods that have an association and were made without it.\n\
             # TYPE bailiwick_agent_pods_not_injected gauge\n",
        );
        let mut text = format!("{text}bailiwick_agent_pods_not_injected {}\n", read(&self.not_injected));
        text.push_str(
            "# HELP bailiwick_agent_namespaces_not_seen Namespaces whose pods could not be looked at.\n\
             # TYPE bailiwick_agent_namespaces_not_seen gauge\n",
        );
        text.push_str(&format!("bailiwick_agent_namespaces_not_seen {}\n", read(&self.namespaces_not_seen)));
        text.push_str(
            "# HELP bailiwick_agent_reviews_total Admission reviews, by their answers.\n\
             # TYPE bailiwick_agent_reviews_total counter\n",
        );
        for (answer, count) in [
            ("patched", &self.patched),
            ("passed", &self.passed),
            ("warned", &self.warned),
            ("refused", &self.refused),
        ] {
            let line = format!("bailiwick_agent_reviews_total{{answer=\"{answer}\"}} {}\n", read(count));
            text.push_str(&line);
        }
        text
    }

    /// Counts one.
    pub fn add(&self, count: &AtomicU64) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}
