//! Any bytes as a policy document in each language, asked any question.
//!
//! - nothing panics;
//! - the short answer is the long one's;
//! - a document that cannot be read denies, whatever stands beside it.
//!
//! The input is the document, and after a NUL the question: action, resource, then `key=value` lines.

#![no_main]

use libfuzzer_sys::fuzz_target;
use policy::{Context, Document, Effect, Grammar, Request, Resource, decide, effect};

const GRAMMARS: [Grammar; 6] = [
    Grammar::Identity,
    Grammar::RolePolicy,
    Grammar::Role,
    Grammar::Classic,
    Grammar::IdentityTrust,
    Grammar::ClassicTrust,
];

const ALL: &str = r#"{"Version":"5.0","Statement":[{"Effect":"Allow","Action":["*:*:*"],"Resource":["*"]}]}"#;

fn request(text: &str) -> Request {
    let mut lines = text.lines();
    let action = lines.next().unwrap_or("cce:accessPolicy:list");
    let resource = lines.next().and_then(Resource::parse).unwrap_or_else(Resource::none);
    let mut context = Context::new();
    for line in lines {
        match line.split_once('=') {
            Some((key, value)) => context.add(key, value),
            None if line.starts_with('?') => context.unknown(line.trim_start_matches('?')),
            None => context.every(line),
        }
    }
    Request::new(action, resource, context).asked_by("Service", "service.CCE").asked_by("RAM", "a")
}

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let (document, question) = text.split_once('\0').unwrap_or((&text, ""));
    let request = request(question);
    let all = Document::parse("all", ALL, &[Grammar::Identity]).expect("a document that is in order");
    let each = GRAMMARS.iter().map(|grammar| vec![*grammar]);
    for grammars in each.chain([GRAMMARS.to_vec()]) {
        let stored = Document::stored("document", document, &grammars);
        let parsed = Document::parse("document", document, &grammars);
        assert_eq!(parsed.is_ok(), stored.problems().is_empty());
        for documents in [vec![&stored], vec![&all, &stored], vec![&stored, &all]] {
            let short = effect(&documents, &request);
            let long = decide(&documents, &request);
            assert_eq!(short, long.effect);
            assert_eq!(short == Effect::Allow, long.is_allowed());
            if stored.grammar().is_none() {
                assert!(!long.is_allowed(), "a document that cannot be read must deny");
            }
        }
    }
});
