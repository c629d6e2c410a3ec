//! Tests of certificates: what is made is believed by a client that believes the bundle, at every instant of a rotation.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::*;

const LIFE: i64 = 3600;

fn names() -> Vec<String> {
    vec!["hook.example.svc".to_owned(), "127.0.0.1".to_owned()]
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-22T00:00:00Z").unwrap().plus_seconds(seconds)
}

/// Whether a client that believes `bundle` accepts the certificate for the name.
fn is_believed(bundle: &str, certificate: &str, name: &'static str, now: Timestamp) -> bool {
    let mut roots = RootCertStore::empty();
    for one in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots.add(one.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    let now =
        UnixTime::since_unix_epoch(std::time::Duration::from_millis(now.as_millis().try_into().unwrap()));
    verifier.verify_server_cert(&certificate, &[], &ServerName::try_from(name).unwrap(), &[], now).is_ok()
}

#[test]
fn a_certificate_is_believed_for_its_names_and_its_time_by_who_believes_its_authority() {
    let chain = Chain::new(&names(), LIFE, at(0)).unwrap();
    let believed = |name, now| is_believed(&chain.bundle, &chain.certificate, name, now);
    assert!(believed("hook.example.svc", at(0)) && believed("127.0.0.1", at(LIFE - 1)));
    assert!(believed("127.0.0.1", at(-SKEW)), "a clock may be behind");
    assert!(!believed("other.example.svc", at(0)) && !believed("127.0.0.2", at(0)));
    assert!(!believed("127.0.0.1", at(LIFE + 1)) && !believed("127.0.0.1", at(-SKEW - 1)));
    let other = Chain::new(&names(), LIFE, at(0)).unwrap();
    assert!(!is_believed(&other.bundle, &chain.certificate, "127.0.0.1", at(0)));
}

#[test]
fn a_new_one_comes_at_two_thirds_and_for_other_names() {
    let chain = Chain::new(&names(), LIFE, at(0)).unwrap();
    let renewed = |names: &[String], seconds| chain.renewed(names, LIFE, at(seconds)).unwrap();
    assert!(renewed(&names(), LIFE * 2 / 3 - 1).is_none());
    let next = renewed(&names(), LIFE * 2 / 3).unwrap();
    assert_eq!(next.bundle, chain.bundle);
    assert!(is_believed(&chain.bundle, &next.certificate, "127.0.0.1", at(LIFE + 1)));
    assert!(renewed(&["10.0.0.1".to_owned()], 1).is_some());
}

#[test]
fn who_believes_the_bundle_of_a_moment_ago_believes_every_certificate_for_years() {
    let mut chain = Chain::new(&names(), LIFE, at(0)).unwrap();
    let (mut authorities, mut bundle_seen) = (std::collections::BTreeSet::new(), chain.bundle.clone());
    for minute in 0..60 * 24 {
        let now = at(minute * 60);
        if let Some(next) = chain.renewed(&names(), LIFE, now).unwrap() {
            chain = next;
        }
        // The API server has heard of what was told a minute ago, the listener shows what is new.
        assert!(is_believed(&bundle_seen, &chain.certificate, "127.0.0.1", now), "minute {minute}");
        assert!(certificates(&chain.bundle).count() <= 2);
        authorities.insert(chain.about.signed_by.clone());
        bundle_seen.clone_from(&chain.bundle);
    }
    assert!(authorities.len() > 5, "{} authorities in a day", authorities.len());
}

#[test]
fn what_slept_through_its_end_begins_anew() {
    let chain = Chain::new(&names(), LIFE, at(0)).unwrap();
    let late = at(LIFE * 100);
    let next = chain.renewed(&names(), LIFE, late).unwrap().unwrap();
    assert!(is_believed(&next.bundle, &next.certificate, "127.0.0.1", late));
    assert_eq!(certificates(&next.bundle).count(), 1);
}

#[test]
fn an_authority_that_is_not_settled_signs_only_what_is_almost_over() {
    let chain = Chain::new(&names(), LIFE, at(0)).unwrap();
    // The certificate is due when the authority is made, and stays that of the former one until it is settled.
    let made = LIFE * AUTHORITY_LIVES / 3 * 2;
    let chain =
        Chain { about: About { span: Span::of(at(made - LIFE + 600), LIFE), ..chain.about }, ..chain };
    let next = chain.renewed(&names(), LIFE, at(made)).unwrap().unwrap();
    assert_eq!((&next.certificate, certificates(&next.bundle).count()), (&chain.certificate, 2));
    assert!(next.renewed(&names(), LIFE, at(made + 30)).unwrap().is_none());
    assert!(next.renewed(&["10.0.0.1".to_owned()], LIFE, at(made + 30)).unwrap().is_none());
    assert!(next.renewed(&names(), LIFE, at(made + 60)).unwrap().is_some());
    let late = About { span: Span::of(at(made - LIFE + 50), LIFE), ..next.about.clone() };
    assert!(Chain { about: late, ..next }.renewed(&names(), LIFE, at(made + 30)).unwrap().is_some());
}
