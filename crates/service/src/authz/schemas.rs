//! Who may read which actions there are. What they are called lies with the dialects; only the right is here.

use domain::Result;

use crate::authz;
use crate::call::Call;
use crate::service::Service;

impl Service {
    /// Lets those pass who may list the services that have authorization tables.
    ///
    /// # Errors
    /// `Forbidden`.
    pub fn list_schemas(&self, call: &Call) -> Result<()> {
        authz::require(call, "bailiwick:schema:list")
    }

    /// Lets those pass who may read the authorization table of a service.
    ///
    /// # Errors
    /// `Forbidden`.
    pub fn show_schema(&self, call: &Call) -> Result<()> {
        authz::require(call, "bailiwick:schema:show")
    }
}
