//! What a refused caller is told: the missing action in the words of their dialect, and where an administrator finds the
//! reasons. Never the reasons: they tell about policies that are not the caller's to read.

use domain::{Denial, Told};
use service::audit::explanation_id;
use service::{Caller, Origin};

use crate::App;
use crate::actions::Bound;
use crate::operation::{Dialect, Operation};

/// What somebody is told who was refused `operation`.
pub(crate) fn told(
    app: &App,
    dialect: &dyn Dialect,
    operation: &Operation,
    (caller, origin): (&Caller, &Origin),
    denial: &Denial,
) -> Told {
    let sealed = dialect.knows_sealed_reasons().then(|| {
        // A refusal without them is still a refusal.
        app.service.authorization_message(caller, origin, denial).ok()
    });
    Told {
        action: spelled(app, dialect.name(), operation, &denial.action),
        in_session: caller.session().is_some(),
        explanation: explanation_id(caller, denial),
        sealed: sealed.flatten(),
    }
}

/// One of our actions as the dialect calls it: as the operation is bound to it, else by any name that the dialect has for
/// it, else by ours.
fn spelled(app: &App, dialect: &str, operation: &Operation, action: &str) -> String {
    let Some((_, tables)) = app.actions().iter().find(|(name, _)| *name == dialect) else {
        return action.to_owned();
    };
    let is_meant = |native: &Option<String>| native.as_deref() == Some(action);
    match tables.of(operation) {
        Bound::To(row) if is_meant(&row.native) => row.action.clone(),
        Bound::To(_) | Bound::Free(_) | Bound::Nothing => {
            let named = tables.rows().iter().find(|row| is_meant(&row.native));
            named.map_or_else(|| action.to_owned(), |row| row.action.clone())
        }
    }
}
