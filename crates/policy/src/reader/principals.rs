//! `Principal` and `NotPrincipal` of a trust policy's statement.

use super::{Fields, Reader, entry, take};
use crate::json::Value;
use crate::principals::Principals;
use crate::quoted;
use crate::statement::{Does, Statement};

impl Reader {
    pub(super) fn principals(&mut self, path: &str, fields: &mut Fields) -> Principals {
        if self.grammar.rules().principals.is_empty() {
            return Principals::Attached;
        }
        match (take(fields, "Principal"), take(fields, "NotPrincipal")) {
            (Some(value), None) => {
                self.named(&format!("{path}.Principal"), value).map_or(Principals::Unreadable, Principals::In)
            }
            (None, Some(value)) => self
                .named(&format!("{path}.NotPrincipal"), value)
                .map_or(Principals::Unreadable, Principals::NotIn),
            (Some(_), Some(_)) => {
                self.report(
                    format!("{path}.NotPrincipal"),
                    "cannot stand beside `Principal`: use one of them",
                );
                Principals::Unreadable
            }
            (None, None) => {
                self.report(format!("{path}.Principal"), "is required in a trust policy: whom do you trust?");
                Principals::Unreadable
            }
        }
    }

    fn named(&mut self, path: &str, value: Value) -> Option<Vec<(String, String)>> {
        let Value::Object(kinds) = value else {
            self.report(path, format!("must be an object of kinds and lists of names, not {}", value.kind()));
            return None;
        };
        if kinds.is_empty() {
            self.report(path, "must not be empty");
            return None;
        }
        let mut named = Vec::new();
        for (kind, names) in kinds {
            let path = format!("{path}.{}", quoted(&kind));
            let known = self.grammar.rules().principals;
            if !known.contains(&kind.as_str()) {
                self.report_unknown(path, &kind, known);
                return None;
            }
            let names = self.texts(&path, names)?;
            if let Some(at) = names.iter().position(|name| name.contains(['*', '?'])) {
                self.report(entry(&path, at), "must name somebody: there are no wildcards here");
                return None;
            }
            named.extend(names.into_iter().map(|name| (kind.clone(), name)));
        }
        Some(named)
    }

    /// An allow for everybody but a few trusts people whom nobody thought of.
    pub(super) fn refuse_trust_in_everybody_else(&mut self, path: &str, statement: &Statement) {
        let is_broad = matches!(statement.principals, Principals::NotIn(_));
        if statement.does == Does::Allow && is_broad {
            let message = "would trust everybody else: say in `Principal` whom you trust";
            self.report(format!("{path}.NotPrincipal"), message);
        }
    }
}
