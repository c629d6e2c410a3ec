//! `Condition` of a statement: operators, their keys, the values of those.

use super::{Fields, MAX_TEXT, Reader, take};
use crate::condition::Condition;
use crate::json::Value;
use crate::operator::Operator;
use crate::quoted;

impl Reader {
    pub(super) fn conditions(&mut self, path: &str, fields: &mut Fields) -> Vec<Condition> {
        let known = self.grammar.rules().fields.contains(&"Condition");
        let Some(value) = take(fields, "Condition").filter(|_| known) else { return Vec::new() };
        let path = format!("{path}.Condition");
        let Value::Object(operators) = value else {
            self.report(path, format!("must be an object, not {}", value.kind()));
            return vec![Condition::unreadable("Condition".to_owned())];
        };
        if operators.is_empty() {
            self.report(&path, "must name an operator; without conditions leave it out");
            return vec![Condition::unreadable("Condition".to_owned())];
        }
        let mut found = Vec::new();
        for (name, keys) in operators {
            found.extend(self.operator(&path, &name, keys));
        }
        let most = self.grammar.rules().limits.map(|limits| limits.conditions);
        if let Some(most) = most.filter(|most| found.len() > *most) {
            self.report(path, format!("must hold at most {most} conditions"));
        }
        found
    }

    fn operator(&mut self, path: &str, name: &str, keys: Value) -> Vec<Condition> {
        let path = format!("{path}.{}", quoted(name));
        let broken = || vec![Condition::unreadable(format!("Condition.{}", quoted(name)))];
        if self.is_full() {
            return broken();
        }
        let operator = match Operator::parse(name, self.grammar) {
            Ok(operator) => operator,
            Err(message) => {
                self.report(path, message);
                return broken();
            }
        };
        let Value::Object(keys) = keys else {
            self.report(path, format!("must be an object of keys, not {}", keys.kind()));
            return broken();
        };
        if keys.is_empty() {
            self.report(path, "must name a condition key");
            return broken();
        }
        keys.into_iter().map(|(key, values)| self.condition(&path, name, operator, &key, values)).collect()
    }

    fn condition(
        &mut self,
        path: &str,
        name: &str,
        operator: Operator,
        key: &str,
        values: Value,
    ) -> Condition {
        let path = format!("{path}.{}", quoted(key));
        let inner = format!("Condition.{name}.{}", quoted(key));
        if !is_key(key) {
            self.report(path, "is no condition key: it must look like `service:Name`");
            return Condition::unreadable(inner);
        }
        let values = match values {
            single @ Value::Text(_) => Value::List(vec![single]),
            other => other,
        };
        let Some(values) = self.texts(&path, values) else { return Condition::unreadable(inner) };
        Condition::new(inner.clone(), operator, key, &values).unwrap_or_else(|message| {
            self.report(path, message);
            Condition::unreadable(inner)
        })
    }
}

fn is_key(key: &str) -> bool {
    let named = key.split_once(':').is_some_and(|(service, name)| !service.is_empty() && !name.is_empty());
    let name = key.split('/').next().unwrap_or_default();
    named && key.len() <= MAX_TEXT && !name.contains(char::is_whitespace) && !key.contains(char::is_control)
}
