//! HSS: clusters that the vendor does not run. Importing one makes the same cluster as everywhere else here, and what the
//! vendor's agent would do is answered as what this product does, which has none.

mod agent;
mod change;
mod clusters;
mod config;
mod permissions;
mod quote;
mod scope;
mod script;
pub mod settings;

use crate::operation::{BodyRule, Handler, Operation};

/// Where all of it is, below a project.
macro_rules! under {
    ($rest:literal) => {
        concat!("/v5/{project_id}/container/kubernetes/multi-cloud", $rest)
    };
}

/// Whether a path is this service's. The identity service shares the root.
pub(super) fn is_at(path: &str) -> bool {
    let below = path.strip_prefix("/v5/").and_then(|rest| rest.split_once('/'));
    below.is_some_and(|(_, rest)| rest.starts_with("container/kubernetes/multi-cloud/"))
}

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    [of_clusters(), of_the_rest()].concat()
}

fn of_clusters() -> Vec<Operation> {
    let row = Operation::new;
    vec![
        row(
            "GET",
            under!("/clusters"),
            "hss.listMultiCloudClusters",
            "Lists the clusters of a project.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(clusters::list(app, call, input))),
        ),
        row(
            "POST",
            under!("/clusters"),
            "hss.createMultiCloudClusters",
            "Imports a cluster by its kubeconfig.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(change::create(app, call, input))),
        ),
        row(
            "PUT",
            under!("/clusters/{cluster_id}"),
            "hss.updateMultiCloudClusters",
            "Gives a cluster another kubeconfig, which must lead to the same cluster.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(change::update(app, call, input))),
        ),
        row(
            "DELETE",
            under!("/clusters/{cluster_id}"),
            "hss.removeMultiCloudClusters",
            "Removes a cluster; what was granted there is revoked first.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(change::remove(app, call, input))),
        ),
        row(
            "POST",
            under!("/clusters/status-synchronize"),
            "hss.syncMultiCloudClusterStatus",
            "Looks at clusters now.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(clusters::synchronize(app, call, input))),
        ),
    ]
}

fn of_the_rest() -> Vec<Operation> {
    let row = Operation::new;
    vec![
        row(
            "GET",
            under!("/clusters/{cluster_id}/permissions"),
            "hss.showMultiCloudClusterAuth",
            "Asks a cluster what its kubeconfig's credential may do there.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(permissions::show(app, call, input))),
        ),
        row(
            "POST",
            under!("/config-analyze"),
            "hss.parseMultiCloudClusterConfig",
            "Says where a kubeconfig leads and when its credential ends.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(config::analyze(app, call, input))),
        ),
        row(
            "GET",
            under!("/agent-network"),
            "hss.showAgentAddress",
            "Says that there is no proxy.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(agent::network(app, call, input))),
        ),
        row(
            "GET",
            under!("/clusters/{cluster_id}/agent/install-script"),
            "hss.showMultiCloudClusterProxyScript",
            "Answers a script that makes the connector in a cluster.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(agent::install_script(app, call, input))),
        ),
        row(
            "GET",
            under!("/image-upload-command"),
            "hss.showMultiCloudClusterImageCommand",
            "Says that there is no image to upload.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(agent::image_command(app, call, input))),
        ),
    ]
}
