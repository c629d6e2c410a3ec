//! What is read of service accounts and pods: who they are, and no more of it than a cluster may decide. Everything is bounded
//! while it is parsed: 32 MiB of `{}` would be eleven million objects.

use std::fmt;

use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, de};

use crate::failure::Failure;

/// The most objects in a page. Nobody is asked for more at a time, and who sends more is not listened to.
pub(super) const PAGE: usize = 500;
/// The longest name in Kubernetes.
const MAX_NAME: usize = 253;
/// The longest uid. They are UUIDs.
const MAX_UID: usize = 64;
/// The longest mark of where a list goes on, or of a version.
const MAX_MARK: usize = 8 << 10;

/// A page of a list.
#[derive(Deserialize)]
pub(super) struct Page {
    #[serde(default)]
    metadata: Marks,
    #[serde(default)]
    items: Items,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Marks {
    #[serde(default)]
    resource_version: String,
    #[serde(default)]
    r#continue: String,
}

/// A page as it is used.
pub(super) struct Checked {
    /// What is in it and can be.
    pub(super) items: Vec<Object>,
    /// From where it goes on; empty if that was all.
    pub(super) next: String,
    /// At which version it stands.
    pub(super) version: String,
}

impl Page {
    /// What is in it, if it can be read on.
    pub(super) fn checked(self) -> Result<Checked, Failure> {
        let Marks { resource_version: version, r#continue: next } = self.metadata;
        if next.len() > MAX_MARK || version.len() > MAX_MARK {
            return Err(Failure::Unreadable("where its list goes on is no mark of an API server"));
        }
        Ok(Checked { items: self.items.0, next, version })
    }
}

/// An object of a list or a watch, of which nothing but this is asked for.
#[derive(Default, Deserialize)]
pub(super) struct Object {
    #[serde(default)]
    pub(super) metadata: Who,
}

/// Who it is.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Who {
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) namespace: String,
    #[serde(default)]
    pub(super) uid: String,
    #[serde(default)]
    pub(super) resource_version: String,
    #[serde(default)]
    pub(super) deletion_timestamp: Option<de::IgnoredAny>,
}

impl Object {
    /// Whether there can be such a thing in Kubernetes. What cannot be is kept nowhere.
    pub(super) fn can_be(&self) -> bool {
        let Who { name, namespace, uid, .. } = &self.metadata;
        let is_name = |text: &str| !text.is_empty() && text.len() <= MAX_NAME;
        is_name(name) && is_name(namespace) && is_uid(uid)
    }

    /// At which version it stands, if that can be one.
    pub(super) fn version(&self) -> Option<&str> {
        let version = self.metadata.resource_version.as_str();
        (!version.is_empty() && version.len() <= MAX_MARK).then_some(version)
    }
}

/// Whether a uid can be one: it becomes part of ids and of what people read.
pub(super) fn is_uid(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'/';
    !text.is_empty() && text.len() <= MAX_UID && text.bytes().all(is_plain)
}

/// At most as many objects as were asked for.
#[derive(Default)]
struct Items(Vec<Object>);

impl<'de> Deserialize<'de> for Items {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Counting)
    }
}

struct Counting;

impl<'de> Visitor<'de> for Counting {
    type Value = Items;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {PAGE} objects")
    }

    /// API servers written in Go say `null` for an empty list.
    fn visit_unit<E: Error>(self) -> Result<Items, E> {
        Ok(Items::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Items, A::Error> {
        let (mut items, mut count) = (Vec::new(), 0);
        while let Some(object) = sequence.next_element::<Object>()? {
            count += 1;
            if count > PAGE {
                return Err(A::Error::invalid_length(count, &self));
            }
            if object.can_be() {
                items.push(object);
            }
        }
        Ok(Items(items))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str) -> Result<Page, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn a_page_of_more_objects_than_were_asked_for_is_not_read_to_its_end() {
        let objects = |count| format!(r#"{{"items":[{}]}}"#, vec!["{}"; count].join(","));
        assert!(page(&objects(PAGE)).is_ok());
        assert!(page(&objects(PAGE + 1)).is_err());
        // What follows is not looked at any more, whatever it is.
        let cut = page(&objects(PAGE + 1).replace("]}", "nonsense")).err().unwrap();
        assert!(cut.to_string().contains("501"), "{cut}");
        assert!(page(r#"{"items":null}"#).unwrap().checked().unwrap().items.is_empty());
    }

    #[test]
    fn names_and_uids_that_cannot_be_are_dropped() {
        let object = |name: &str, uid: &str| {
            format!(r#"{{"metadata":{{"name":"{name}","namespace":"a","uid":"{uid}"}}}}"#)
        };
        let long = "x".repeat(254);
        let all = [
            object("n", "u1"),
            object(&long, "u2"),
            object("n", &"u".repeat(65)),
            object("n", "a/b"),
            object("n", "a b"),
            object("n", "ü"),
            object("n", ""),
            object("", "u3"),
        ];
        let read = page(&format!(r#"{{"items":[{}]}}"#, all.join(","))).unwrap().checked().unwrap();
        let uids: Vec<&str> = read.items.iter().map(|object| object.metadata.uid.as_str()).collect();
        assert_eq!(uids, ["u1"]);
    }

    #[test]
    fn a_list_goes_on_from_no_mark_of_megabytes() {
        let text = format!(r#"{{"metadata":{{"continue":"{}"}}}}"#, "x".repeat(MAX_MARK + 1));
        assert!(page(&text).unwrap().checked().is_err());
    }
}
