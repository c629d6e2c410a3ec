//! Three-valued truth. What is not known for certain must not grant, and must still deny.

/// Whether something holds. The order is that of Kleene's logic: *and* is the minimum, *or* the maximum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Certainty {
    /// It does not hold.
    No,
    /// It holds for some values that a question left open, or it could not be read.
    Maybe,
    /// It holds, whatever was left open.
    Yes,
}

impl Certainty {
    /// What holds exactly if this does not.
    pub(crate) fn not(self) -> Self {
        match self {
            Self::No => Self::Yes,
            Self::Maybe => Self::Maybe,
            Self::Yes => Self::No,
        }
    }

    /// Whether all hold. Nothing at all holds.
    pub(crate) fn all(of: impl IntoIterator<Item = Self>) -> Self {
        of.into_iter().min().unwrap_or(Self::Yes)
    }

    /// Whether one of them holds. Of nothing, none does.
    pub(crate) fn any(of: impl IntoIterator<Item = Self>) -> Self {
        of.into_iter().max().unwrap_or(Self::No)
    }

    /// What all of them agree on; `Maybe` if they differ.
    pub(crate) fn agreed(of: impl IntoIterator<Item = Self> + Clone) -> Self {
        let (least, most) = (Self::all(of.clone()), Self::any(of));
        if least == most { least } else { Self::Maybe }
    }
}

impl From<bool> for Certainty {
    fn from(value: bool) -> Self {
        if value { Self::Yes } else { Self::No }
    }
}

#[cfg(test)]
mod tests {
    use super::Certainty::{self, Maybe, No, Yes};

    #[test]
    fn what_is_open_stays_open_unless_the_rest_decides() {
        assert_eq!(Certainty::all([Yes, Maybe]), Maybe);
        assert_eq!(Certainty::all([No, Maybe]), No);
        assert_eq!(Certainty::any([Yes, Maybe]), Yes);
        assert_eq!(Certainty::any([No, Maybe]), Maybe);
        assert_eq!((Certainty::all([]), Certainty::any([])), (Yes, No));
        assert_eq!((Yes.not(), Maybe.not(), No.not()), (No, Maybe, Yes));
        assert_eq!(Certainty::agreed([Yes, Yes]), Yes);
        assert_eq!(Certainty::agreed([Yes, No]), Maybe);
    }
}
