//! Lists in numbered pages.

use domain::{Error, Result};

use super::everybody::asked;
use crate::head::Head;

/// Which part of a list a query asks for: all of it, unless it says more.
pub(super) struct Part {
    skip: usize,
    take: usize,
}

impl Part {
    /// Reads `page` and `per_page`, which is at most `longest`, and that where only the page is said.
    pub(super) fn read(head: &Head, longest: usize) -> Result<Self> {
        let number = |key: &str, most: usize| match asked(head, key) {
            None => Ok(None),
            Some(text) => match text.parse() {
                Ok(number) if (1..=most).contains(&number) => Ok(Some(number)),
                Ok(_) | Err(_) => Err(Error::invalid(key, format!("must be a number from 1 to {most}"))),
            },
        };
        Ok(match (number("page", usize::MAX)?, number("per_page", longest)?) {
            (None, None) => Self { skip: 0, take: usize::MAX },
            (page, size) => {
                let size = size.unwrap_or(longest);
                Self { skip: size.saturating_mul(page.unwrap_or(1) - 1), take: size }
            }
        })
    }

    /// That part.
    pub(super) fn of<'a, T>(&self, all: &'a [T]) -> &'a [T] {
        let rest = all.get(self.skip..).unwrap_or_default();
        rest.get(..self.take).unwrap_or(rest)
    }
}
