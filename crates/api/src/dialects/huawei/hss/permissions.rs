//! What the credential of a cluster may really do there, as the cluster says it now, in the rows that the vendor documents.

use domain::Result;
use http::StatusCode;
use serde::Serialize;
use service::Call;
use service::clusters::checks::CheckedRow;

use super::scope::{Part, Scope, cluster_id};
use super::settings::Lengths;
use crate::App;
use crate::operation::Input;
use crate::reply::Reply;

#[derive(Serialize)]
struct List {
    total_num: usize,
    data_list: Vec<Row>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Row {
    api_groups: String,
    resources: String,
    function: String,
    is_authed: bool,
    advice: String,
}

pub(super) async fn show(app: &App, call: Call, input: Input) -> Result<Reply> {
    let scope = Scope::of_one(app, &call, &input)?;
    let part = Part::read(&input.head)?;
    let id = cluster_id(&input)?;
    let found = app.service.cluster_of_members_account(&call, &scope.project, &scope.within, id).await?;
    let check = app.service.check_cluster_as_member(&call, found.id.as_str()).await?;
    let lengths = app.settings.dialects.huawei.hss.lengths;
    let rows = &check.found.rows;
    let data_list = part.of(rows).iter().map(|row| wire(row, lengths)).collect();
    Reply::json(StatusCode::OK, &List { total_num: rows.len(), data_list })
}

/// The vendor's example has a list of resources that was cut at 128 characters, an empty API group and a function of 27
/// characters; the table above it allows 16 characters, no empty group, and 16 characters.
fn wire(row: &CheckedRow, lengths: Lengths) -> Row {
    let groups = row.api_groups.join(", ");
    let (group, groups_most, resources_most, function_most) = match lengths {
        Lengths::OfTheExample => (groups, 64, 128, 64),
        // The group without a name is called so where it needs one.
        Lengths::OfTheTable if groups.is_empty() => ("core".to_owned(), 64, 16, 16),
        Lengths::OfTheTable => (groups, 64, 16, 16),
    };
    Row {
        api_groups: cut(&group, groups_most),
        resources: cut(&row.resources.join(", "), resources_most),
        function: cut(&row.function, function_most),
        is_authed: row.authorized,
        advice: cut(&row.advice, 128),
    }
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> CheckedRow {
        let names = "namespaces, pods, nodes, services, endpoints, configmaps, events, persistentvolumeclaims, \
                     persistentvolumes, podtemplates, replicationcontrollers";
        CheckedRow {
            function: "Container Security Response".to_owned(),
            api_groups: vec![String::new()],
            resources: names.split(", ").map(str::to_owned).collect(),
            authorized: false,
            missing: Vec::new(),
            advice: "a".repeat(200),
            set: "hss".to_owned(),
        }
    }

    #[test]
    fn texts_are_as_long_as_in_the_example_or_as_the_table_says() {
        let example = wire(&row(), Lengths::OfTheExample);
        assert_eq!((example.api_groups.as_str(), example.function.len()), ("", 27));
        assert!(example.resources.ends_with(", podtemplates, repli"), "{}", example.resources);
        assert_eq!((example.resources.len(), example.advice.len()), (128, 128));
        let table = wire(&row(), Lengths::OfTheTable);
        assert_eq!((table.api_groups.as_str(), table.function.as_str()), ("core", "Container Securi"));
        assert_eq!(table.resources, "namespaces, pods");
    }
}
