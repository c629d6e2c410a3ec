"""The clusters as the second vendor's four official clients find them: lists, pages, filters and one by its id."""

import json
import secrets

import pytest

from harness import acs3
from harness.ack import Refused, granted

BOTH = pytest.mark.parametrize("bailiwick", ["sqlite", "postgres"], indirect=True, scope="module")


@pytest.fixture(scope="module")
def clusters(bailiwick, api_server):
    """Three clusters of a common name, one of them with an API server, in the order in which they were made."""
    mark = secrets.token_hex(3)
    made = [bailiwick.add_cluster(name=f"team a {mark} {number}") for number in (1, 2)]
    labelled = ["--label", "stage=prod"]
    made.append(bailiwick.add_cluster_by_context(api_server, *labelled, name=f"team a {mark} 3"))
    return f"team a {mark}", made


@pytest.fixture
def ack(ack_client):
    return ack_client()


def ids(found):
    return [cluster["cluster_id"] for cluster in found]


@BOTH
def test_every_way_to_list_finds_the_same_clusters(bailiwick, ack, clusters):
    name, made = clusters
    region = bailiwick.cluster(made[0])["region"] if "region" in bailiwick.cluster(made[0]) else bailiwick.project_name
    plain = ack.describe_clusters()
    assert plain.status == 200
    assert isinstance(plain.body, list)
    assert set(ids(plain.body)) == set(made)
    for answer in (ack.describe_clusters_v1(), ack.describe_clusters_for_region(region)):
        assert set(ids(answer.body["clusters"])) == set(made)
        assert answer.body["page_info"] == {"page_number": 1, "page_size": 50, "total_count": 3}
    assert set(ids(ack.describe_clusters(name=name).body)) == set(made)
    assert ids(ack.describe_clusters(name=f"{name} 2").body) == [made[1]]
    assert ack.describe_clusters(name="no such").body == []
    assert ids(ack.describe_clusters_v1(name=f"{name} 1").body["clusters"]) == [made[0]]
    assert ids(ack.describe_clusters_v1(cluster_id=made[2]).body["clusters"]) == [made[2]]
    assert ids(ack.describe_clusters_for_region(region, cluster_id=made[2]).body["clusters"]) == [made[2]]
    assert ack.describe_clusters_for_region("cn-nowhere").body["clusters"] == []
    assert ack.describe_clusters_v1(cluster_type="ManagedKubernetes").body["clusters"] == []
    assert len(ack.describe_clusters_v1(cluster_type="ExternalKubernetes").body["clusters"]) == 3


@BOTH
def test_pages_go_on_where_the_last_one_ended_and_there_is_an_empty_one_at_the_end(ack, clusters):
    name, made = clusters
    whole = ids(ack.describe_clusters_v1(name=name).body["clusters"])
    seen, number = [], 1
    while True:
        page = ack.describe_clusters_v1(name=name, page_number=number, page_size=2).body
        assert page["page_info"] == {"page_number": number, "page_size": 2, "total_count": 3}
        if not page["clusters"]:
            break
        seen += ids(page["clusters"])
        number += 1
    assert (seen, number) == (whole, 3)
    assert set(whole) == set(made)
    for fields in ({"page_number": 0}, {"page_size": 0}, {"page_size": 101}):
        with pytest.raises(Refused) as refused:
            ack.describe_clusters_v1(**fields)
        assert (refused.value.status, refused.value.code) == (400, "InvalidParameter")


@BOTH
def test_a_cluster_is_shown_with_what_is_known_of_it(bailiwick, ack, clusters):
    name, made = clusters
    shown = ack.describe_cluster_detail(made[2]).body
    assert (shown["cluster_id"], shown["name"]) == (made[2], f"{name} 3")
    assert (shown["state"], shown["cluster_type"]) == ("running", "ExternalKubernetes")
    assert shown["current_version"].startswith("1.20")
    assert {"key": "stage", "value": "prod"} in shown["tags"]
    assert any(value.startswith("https://127.0.0.1:") for value in json.loads(shown["master_url"]).values())
    listed = {cluster["cluster_id"]: cluster for cluster in ack.describe_clusters_v1().body["clusters"]}
    common = set(listed[made[2]]) & set(shown)
    assert {"name", "state", "region_id", "created"} <= common
    assert {field: listed[made[2]][field] for field in common} == {field: shown[field] for field in common}
    assert ack.describe_cluster_detail(made[0]).body["state"] == "waiting"
    # Names are no ids here, and what is not there is told by the code that the vendor's own tools look for.
    for unknown in ("c" + "0" * 32, f"{name} 3"):
        with pytest.raises(Refused) as refused:
            ack.describe_cluster_detail(unknown)
        assert (refused.value.status, refused.value.code) == (404, "ErrorClusterNotFound")


@BOTH
def test_a_change_about_an_unknown_cluster_says_so_in_the_vendors_word(bailiwick, ack, clusters):
    user = bailiwick.add_user()
    unknown = "c" + "0" * 32
    for call in (
        lambda: ack.grant_permissions(user, [granted(clusters[1][0], "dev"), granted(unknown, "dev")]),
        lambda: ack.update_user_permissions(user, [granted((unknown, "a"), "dev")], "patch"),
        lambda: ack.clean_user_permissions(user, [clusters[1][0], unknown], force=True),
        lambda: ack.clean_cluster_user_permissions(unknown, user, force=True),
    ):
        with pytest.raises(Refused) as refused:
            call()
        assert (refused.value.status, refused.value.code) == (404, "ErrorClusterNotFound")
        assert unknown in refused.value.message
    assert ack.describe_user_permission(user).body == []


@BOTH
def test_no_field_is_null_in_what_clients_read(bailiwick, clusters):
    key = (bailiwick.key_id, bailiwick.secret)
    for path in ("/clusters", "/api/v1/clusters", f"/clusters/{clusters[1][0]}", f"/clusters/{clusters[1][2]}"):
        answer = acs3.send(bailiwick.base, key, "GET", path)
        assert answer.status == 200, answer
        assert b"null" not in answer.body
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
