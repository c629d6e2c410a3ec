//! The names of the access levels. The documents contradict each other about two of them; which reading is in force
//! is a setting.

use domain::{ClusterRoleName, Error, Result, Role};

/// Which document's reading of `CCEAdminPolicy` and `CCEClusterAdminPolicy` is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum PolicyTypes {
    /// The SDK 3.1.219 and the pages of November 2025: ClusterAdmin is the administrator, Admin the operator.
    #[default]
    Current,
    /// The page of August 2025: Admin is the administrator, ClusterAdmin the operator.
    August2025,
}

impl PolicyTypes {
    /// Reads the setting `cce.policy_types`.
    ///
    /// # Errors
    /// `Invalid` naming the setting.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "current" => Ok(Self::Current),
            "2025-08" => Ok(Self::August2025),
            _ => Err(Error::invalid("cce.policy_types", "must be `current` or `2025-08`")),
        }
    }

    /// The setting's text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::August2025 => "2025-08",
        }
    }

    /// The role that a `policyType` means.
    ///
    /// # Errors
    /// `Invalid` naming `field`.
    pub fn role(self, field: &str, text: &str) -> Result<Role> {
        if let Some(name) = text.strip_prefix("custom:") {
            // The one predefined role that the vendor has no name for travels in this form.
            if name == Role::AdministratorView.cluster_role() {
                return Ok(Role::AdministratorView);
            }
            return ClusterRoleName::parse(field, name).map(Role::Custom);
        }
        let (admin, cluster_admin) = self.pair();
        match text {
            "CCEAdminPolicy" => Ok(admin),
            "CCEClusterAdminPolicy" => Ok(cluster_admin),
            "CCEEditPolicy" => Ok(Role::Developer),
            "CCEViewPolicy" => Ok(Role::Viewer),
            _ => Err(Error::invalid(
                field,
                "must be `CCEClusterAdminPolicy`, `CCEAdminPolicy`, `CCEEditPolicy`, `CCEViewPolicy` \
                 or `custom:<name of a ClusterRole>`",
            )),
        }
    }

    /// The `policyType` of a role.
    #[must_use]
    pub fn name(self, role: &Role) -> String {
        let (admin, _) = self.pair();
        match role {
            Role::Administrator | Role::Operator if *role == admin => "CCEAdminPolicy".to_owned(),
            Role::Administrator | Role::Operator => "CCEClusterAdminPolicy".to_owned(),
            Role::Developer => "CCEEditPolicy".to_owned(),
            Role::Viewer => "CCEViewPolicy".to_owned(),
            Role::AdministratorView | Role::Custom(_) => format!("custom:{}", role.cluster_role()),
        }
    }

    /// What `CCEAdminPolicy` and `CCEClusterAdminPolicy` mean.
    fn pair(self) -> (Role, Role) {
        match self {
            Self::Current => (Role::Operator, Role::Administrator),
            Self::August2025 => (Role::Administrator, Role::Operator),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_readings_round_trip_every_role() {
        let custom = Role::Custom(ClusterRoleName::parse("f", "deployers").unwrap());
        for reading in [PolicyTypes::Current, PolicyTypes::August2025] {
            for role in Role::PREDEFINED.into_iter().chain([custom.clone()]) {
                assert_eq!(reading.role("f", &reading.name(&role)).unwrap(), role, "{reading:?}");
            }
            assert_eq!(PolicyTypes::parse(reading.as_str()).unwrap(), reading);
        }
    }

    #[test]
    fn the_readings_differ_in_who_is_the_administrator() {
        assert_eq!(PolicyTypes::Current.role("f", "CCEClusterAdminPolicy").unwrap(), Role::Administrator);
        assert_eq!(PolicyTypes::Current.role("f", "CCEAdminPolicy").unwrap(), Role::Operator);
        assert_eq!(PolicyTypes::August2025.role("f", "CCEAdminPolicy").unwrap(), Role::Administrator);
        assert_eq!(PolicyTypes::August2025.role("f", "CCEClusterAdminPolicy").unwrap(), Role::Operator);
    }

    #[test]
    fn other_names_are_refused() {
        for bad in ["", "admin", "cceviewpolicy", "CCEViewPolicy ", "custom:", "custom:a/b"] {
            assert_eq!(
                PolicyTypes::Current.role("policyType", bad).unwrap_err().field(),
                Some("policyType"),
                "{bad}"
            );
        }
    }
}
