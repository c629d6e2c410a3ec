//! Listing a kind, page by page, bounded in time and in what is kept.

use std::time::Duration;

use domain::Namespace;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout};

use super::{Following, TOO_MUCH};
use crate::client::MAX_LIST;
use crate::failure::Failure;
use crate::view::{CROWDED, Kind, MAX_WEIGHT, Object};
use crate::wire::{BindingObject, ClusterRoleObject, List, NamespaceObject};

/// How long listing one kind may take with all its pages.
const LIST_TIMEOUT: Duration = Duration::from_secs(120);
/// The most objects in one page of a list.
const PAGE: usize = 500;

impl Following<'_> {
    /// Reads the whole list into the view and returns the version at which it stood.
    pub(super) async fn list(&self, kind: Kind) -> Result<String, Failure> {
        let began = Instant::now();
        let (objects, version) = timeout(LIST_TIMEOUT, self.pages(kind))
            .await
            .map_err(|_| Failure::Unreachable("listing took too long".to_owned()))??;
        let effect = self.observer.view().replace(kind, objects, &version);
        self.observer.took(effect)?;
        self.observer.view().set_listed_at(kind, began);
        Ok(version)
    }

    async fn pages(&self, kind: Kind) -> Result<(Vec<Object>, String), Failure> {
        let mut objects = Vec::new();
        let mut weight = 0;
        let mut next = String::new();
        let mut limit = PAGE;
        loop {
            let page = {
                let _turn = self.paging.lock().await;
                self.page(kind, &next, limit).await
            };
            let mut page = match page {
                Err(failure) if failure == Failure::TOO_LARGE && limit > 1 => {
                    limit /= 2;
                    continue;
                }
                page => page?,
            };
            if weight > CROWDED {
                page.items.iter_mut().for_each(Object::lighten);
            }
            weight += page.items.iter().map(Object::weight).sum::<usize>();
            if weight > MAX_WEIGHT {
                return Err(TOO_MUCH);
            }
            objects.extend(page.items);
            if page.metadata.r#continue.is_empty() {
                return Ok((objects, page.metadata.resource_version));
            }
            next = page.metadata.r#continue;
            limit = (limit * 2).min(PAGE);
        }
    }

    async fn page(&self, kind: Kind, next: &str, limit: usize) -> Result<List<Object>, Failure> {
        let path = format!("{}?limit={limit}&continue={}", kind.path(), crate::client::segment(next));
        match kind {
            Kind::ClusterRoleBindings | Kind::RoleBindings => self.page_of(&path, limit, binding).await,
            Kind::Namespaces => self.page_of(&path, limit, namespace).await,
            Kind::ClusterRoles => self.page_of(&path, limit, cluster_role).await,
        }
    }

    /// One page. Of a single object that is too large, only the metadata: whose it is can be told from them.
    async fn page_of<T: DeserializeOwned>(
        &self,
        path: &str,
        limit: usize,
        read: fn(T) -> Object,
    ) -> Result<List<Object>, Failure> {
        let page: Result<List<T>, Failure> = self.client.get(path, MAX_LIST).await;
        let (page, whole) = match page {
            Err(failure) if failure == Failure::TOO_LARGE && limit == 1 => {
                (self.client.get_metadata(path, MAX_LIST).await?, false)
            }
            page => (page?, true),
        };
        let mut items: Vec<Object> = page.items.into_iter().map(read).collect();
        if !whole {
            items.iter_mut().for_each(Object::mark_unread);
        }
        Ok(List { metadata: page.metadata, items })
    }
}

/// A binding as the view keeps it.
pub(super) fn binding(object: BindingObject) -> Object {
    Object::Binding(object.into())
}

/// A namespace as the view keeps it.
pub(super) fn namespace(object: NamespaceObject) -> Object {
    Object::Namespace {
        name: Namespace::stored(&object.metadata.name),
        ending: object.metadata.deletion_timestamp.is_some(),
        version: object.metadata.resource_version,
    }
}

/// A ClusterRole as the view keeps it.
pub(super) fn cluster_role(object: ClusterRoleObject) -> Object {
    let version = object.metadata.resource_version.clone();
    Object::ClusterRole { role: object.into(), version }
}

/// Lists the role bindings of one API server.
#[cfg(test)]
pub(crate) async fn list_for_tests(
    client: &crate::client::ApiClient,
) -> Result<(Vec<Object>, String), Failure> {
    let observer = super::Observer::new();
    let following = Following {
        observer: &observer,
        client,
        version: None,
        paging: tokio::sync::Mutex::new(()),
        watching: std::sync::atomic::AtomicUsize::new(0),
    };
    following.pages(Kind::RoleBindings).await
}
