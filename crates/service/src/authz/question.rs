//! From a call and what it is about to a question for policies, and to the documents that are to answer it.

use std::sync::Arc;

use domain::{PolicyScope, PrincipalKind};
use policy::{Context, Decision, Document, Effect, Request, Resource};

use super::actions::Action;
use super::fact::Fact;
use super::rights::Rights;
use super::thing::{Id, Known, Thing};
use super::vocabulary::{NamedAction, NamedKey};
use crate::call::Call;

/// The effect alone.
pub(super) fn effect(call: &Call, action: &Action, thing: &Thing<'_>) -> Effect {
    let rights = &call.caller.rights;
    effect_of(rights, thing, &request(call, rights, action, thing))
}

/// The effect of a request that was made already.
pub(super) fn effect_of(rights: &Rights, thing: &Thing<'_>, request: &Request) -> Effect {
    let mut effect = policy::effect(&documents(rights, thing), request);
    for limit in &rights.limits {
        effect = match (effect, policy::effect(&references(limit), request)) {
            (Effect::ExplicitDeny, _) | (_, Effect::ExplicitDeny) => Effect::ExplicitDeny,
            (Effect::DefaultDeny, _) | (_, Effect::DefaultDeny) => Effect::DefaultDeny,
            (Effect::Allow, Effect::Allow) => Effect::Allow,
        };
    }
    effect
}

/// The answer with its reasons.
pub(super) fn decide(call: &Call, action: &Action, thing: &Thing<'_>) -> Decision {
    decide_request(call, thing, &request(call, &call.caller.rights, action, thing))
}

/// The same for a request that was made already.
pub(super) fn decide_request(call: &Call, thing: &Thing<'_>, request: &Request) -> Decision {
    let rights = &call.caller.rights;
    let decision = policy::decide(&documents(rights, thing), request);
    let limits = rights.limits.iter().map(|limit| policy::decide(&references(limit), request));
    limits.fold(decision, Decision::within)
}

fn references(set: &[Arc<Document>]) -> Vec<&Document> {
    set.iter().map(|document| &**document).collect()
}

/// Whether an action has a condition key, under one of its names.
pub(super) fn has_key(action: &Action, names: &[NamedAction], named: &NamedKey) -> bool {
    let ours = named.key.starts_with("bailiwick:") && action.facts.contains(&named.fact);
    let theirs = names.iter().any(|name| name.keys.contains(&named.key));
    named.fact.is_of_the_request() || ours || theirs
}

/// Whether anything that the caller holds, anywhere, allows the action on something.
pub(super) fn is_named_by_an_allow(call: &Call, action: &Action) -> bool {
    let rights = &call.caller.rights;
    let documents: Vec<&Document> = rights.held.iter().map(|held| &*held.document).collect();
    let request = request(call, rights, action, &Thing::none());
    is_named(&documents, &request) && rights.limits.iter().all(|limit| is_named(&references(limit), &request))
}

/// The same of somebody who does not ask now: whether an allow names the action, whatever its conditions and resources.
pub(super) fn may_allow(rights: &Rights, action: &Action) -> bool {
    let documents: Vec<&Document> = rights.held.iter().map(|held| &*held.document).collect();
    let request = Request::new(action.name, Resource::none(), Context::new());
    is_named(&documents, &also_called(request, rights, action))
}

fn is_named(documents: &[&Document], request: &Request) -> bool {
    let decision = policy::decide(documents, request);
    match decision.effect {
        Effect::Allow | Effect::ExplicitDeny => true,
        Effect::DefaultDeny => !decision.nearest.is_empty(),
    }
}

/// The documents that hold where the thing is.
fn documents<'a>(rights: &'a Rights, thing: &Thing<'_>) -> Vec<&'a Document> {
    let holds = |scope: &PolicyScope| match scope {
        PolicyScope::Account => true,
        // What belongs to no project, people for instance, is out of reach of who has rights in a project only.
        PolicyScope::Project(id) => thing.project == Some(id),
        PolicyScope::EnterpriseProject(id) => thing.enterprise_project == Known::Is(id),
    };
    // A deny counts wherever it might hold.
    let might = |scope: &PolicyScope| holds(scope) || thing.id == Id::Every;
    let allows = rights.held.iter().filter(|held| holds(&held.scope)).map(|held| &*held.document);
    let denies = rights.held.iter().filter(|held| !holds(&held.scope) && might(&held.scope));
    allows.chain(denies.map(|held| held.denials())).collect()
}

pub(super) fn request(call: &Call, rights: &Rights, action: &Action, thing: &Thing<'_>) -> Request {
    let names = rights.vocabulary.names(action.name);
    let resource = resource(call, action, names, thing);
    also_called(Request::new(action.name, resource, context(call, rights, action, thing)), rights, action)
}

fn also_called(mut request: Request, rights: &Rights, action: &Action) -> Request {
    for named in rights.vocabulary.names(action.name) {
        request = request.also_called(&named.name);
        for alias in &named.aliases {
            request = request.also_called(alias);
        }
    }
    request
}

fn resource(call: &Call, action: &Action, names: &[NamedAction], thing: &Thing<'_>) -> Resource {
    let account = thing.account.unwrap_or_else(|| call.account()).as_str();
    let Some(kind) = action.resource else { return Resource::none() };
    let id = match thing.id {
        Id::One(id) => id,
        Id::None | Id::Every => "",
    };
    let mut resource = Resource::new(["bailiwick", thing.region, account, kind, id]);
    if let Some((kind, id, _)) = thing.principal {
        resource = resource.also_named(Resource::new(["bailiwick", "", account, kind.as_str(), id]));
    }
    let templates = names.iter().filter_map(|named| named.resource.as_deref());
    for template in templates.flat_map(str::split_whitespace) {
        let Some((id, name)) = called_by(template, thing, id) else { continue };
        let called = template
            .replace("{region}", thing.region)
            .replace("{account}", account)
            .replace("{id}", id)
            .replace("{name}", name);
        if called.starts_with('/') {
            resource = resource.with_uri(&called);
        } else if let Some(other) = Resource::parse(&called) {
            resource = resource.also_named(other);
        }
    }
    if thing.id == Id::Every { resource.every() } else { resource }
}

/// The id and the name that a template of a resource takes: where an action is about two things, a template may be of
/// either, and must not be filled with the other's.
fn called_by<'a>(template: &str, thing: &Thing<'a>, id: &'a str) -> Option<(&'a str, &'a str)> {
    let kind = template.split(':').nth(3).unwrap_or_default();
    match (PrincipalKind::parse("kind", kind), thing.principal) {
        (Ok(kind), Some((its, id, name))) => (kind == its).then_some((id, name)),
        (Ok(kind), None) => {
            (thing.kind.is_empty() || thing.kind == kind.as_str()).then_some((id, thing.name))
        }
        (Err(_), _) => Some((id, thing.name)),
    }
}

fn context(call: &Call, rights: &Rights, action: &Action, thing: &Thing<'_>) -> Context {
    let mut context = Context::new();
    let names = rights.vocabulary.names(action.name);
    for named in rights.vocabulary.keys() {
        if has_key(action, names, named) {
            put(&mut context, call, &named.key, named.fact, thing);
        } else if action.facts.contains(&named.fact) {
            // The operation is about things that have the fact, and the dialect does not let conditions ask for it: a
            // key that is simply absent would meet every negated condition.
            match named.key.ends_with('/') {
                true => context.unknown(&format!("{}*", named.key)),
                false => context.unknown(&named.key),
            }
        }
    }
    context
}

fn put(context: &mut Context, call: &Call, key: &str, fact: Fact, thing: &Thing<'_>) {
    let caller = &call.caller;
    match fact {
        Fact::PrincipalId => context.set(key, caller.principal.as_str()),
        Fact::PrincipalName => context.set(key, caller.name.as_str()),
        Fact::AccountId => context.set(key, caller.account.as_str()),
        Fact::AccountName => context.set(key, caller.account_name.as_str()),
        // Where the thing is counts, not where the caller says they are: that is theirs to choose.
        Fact::ProjectId => match (thing.project, thing.cluster) {
            (Some(project), _) => context.set(key, project.as_str()),
            (None, Known::Every) => context.every(key),
            (None, Known::Is(_)) => context.unknown(key),
            (None, Known::Absent) => {
                if let Some(project) = &call.project {
                    context.set(key, project.as_str());
                }
            }
        },
        Fact::CurrentTime => context.set(key, call.origin.at.rfc3339_seconds()),
        Fact::SourceIp => context.set(key, &*call.origin.source),
        Fact::ClusterId => match thing.cluster {
            Known::Is(id) => context.set(key, id.as_str()),
            Known::Every => context.every(key),
            Known::Absent => {}
        },
        Fact::EnterpriseProjectId => match thing.enterprise_project {
            Known::Is(id) => context.set(key, id.as_str()),
            Known::Every => context.unknown(key),
            // What belongs to no enterprise project belongs to the default one, whose id is `0`.
            Known::Absent => context.set(key, "0"),
        },
        Fact::ResourceTag => match (thing.tags, thing.id) {
            (Some(tags), _) => {
                tags.iter().for_each(|(tag, value)| context.set(&format!("{key}{tag}"), value))
            }
            (None, Id::Every) => context.unknown(&format!("{key}*")),
            (None, Id::None | Id::One(_)) => {}
        },
        Fact::RequestTag => {
            let wanted = thing.wanted_tags.into_iter().flatten();
            wanted.for_each(|(tag, value)| context.set(&format!("{key}{tag}"), value));
        }
        Fact::TagKeys => {
            thing.wanted_tags.into_iter().flatten().for_each(|(tag, _)| context.add(key, tag.as_str()));
        }
        Fact::PrincipalTag => {
            let tags = caller.session().map(|session| session.tags.as_slice()).unwrap_or_default();
            tags.iter().for_each(|tag| context.set(&format!("{key}{}", tag.key), tag.value.as_str()));
            context.lacking(key);
        }
        Fact::Unknown => context.unknown(key),
    }
}
