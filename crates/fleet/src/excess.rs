//! What an account asks for beyond the bindings that it may have in one cluster. It is not applied, and says so; what is
//! in the cluster already stays, whatever else is asked for.

use rbac::{Change, Owner, Plan, Slot, is_ours};
use service::fleet::FleetDesired;

use crate::states::Trouble;
use crate::view::View;

/// What was cut from a plan.
#[derive(Default)]
pub(crate) struct Excess {
    /// The roles and scopes that get no binding, or not all of theirs.
    pub(crate) slots: Vec<Slot>,
    most: usize,
}

impl Excess {
    /// Cuts from `plan` what would make too many bindings. What is about to be deleted counts until it is gone.
    pub(crate) fn cut(plan: &mut Plan, owner: &Owner, fleet: &FleetDesired, view: &View) -> Self {
        let ours = view.bindings().iter().filter(|binding| is_ours(owner, binding, &fleet.recorded)).count();
        let mut room = fleet.most_bindings.saturating_sub(ours);
        let mut slots = Vec::new();
        plan.grow.retain(|change| {
            let Change::Apply(binding) = change else { return true };
            if view.binding(&binding.object).is_some() {
                return true;
            }
            if room > 0 {
                room -= 1;
                return true;
            }
            slots.push(Slot { role: binding.role.clone(), scope: binding.object.scope.clone() });
            false
        });
        Self { slots, most: fleet.most_bindings }
    }

    /// Why it is not applied.
    pub(crate) fn trouble(&self) -> Trouble {
        Trouble::Refused(format!(
            "the account has the {} bindings that it may have in this cluster; what exceeds is not applied",
            self.most
        ))
    }
}
