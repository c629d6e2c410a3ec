"""Pod identity associations, by the vendor's own client: the five operations, their rules, and who may use them."""

import json
import secrets

import huaweicloudsdkcce.v3 as cce
import pytest
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException

from harness.sdk import cce_client, unlike_any_other

TAGS = [{"key": "team", "value": "a"}, {"key": "空 格", "value": ""}]


class Associations:
    """The five operations on the associations of one cluster, each one call of the SDK."""

    def __init__(self, client, cluster):
        self.client, self.cluster = client, cluster

    def create(self, namespace="shop", account=None, agency="", tags=None):
        listed = tags and [cce.ResourceTag(**tag) for tag in tags]
        body = cce.PodIdentityAssociation(
            namespace=namespace, service_account=account or name("sa"), agency_name=agency, tags=listed
        )
        request = cce.CreatePodIdentityAssociationRequest(cluster_id=self.cluster, body=body)
        return unlike_any_other(self.client.create_pod_identity_association_invoker(request))

    def list(self):
        request = cce.ListPodIdentityAssociationsRequest(cluster_id=self.cluster)
        return self.client.list_pod_identity_associations(request).body or []

    def show(self, uid):
        request = cce.ShowPodIdentityAssociationRequest(cluster_id=self.cluster, association_id=uid)
        return self.client.show_pod_identity_association(request)

    def update(self, uid, agency):
        body = cce.PodIdentityAssociationUpdate(agency_name=agency)
        request = cce.UpdatePodIdentityAssociationRequest(cluster_id=self.cluster, association_id=uid, body=body)
        return unlike_any_other(self.client.update_pod_identity_association_invoker(request))

    def delete(self, uid):
        request = cce.DeletePodIdentityAssociationRequest(cluster_id=self.cluster, association_id=uid)
        return self.client.delete_pod_identity_association(request)

    def accounts(self):
        return sorted(found.service_account for found in self.list())


def name(prefix):
    return f"{prefix}-{secrets.token_hex(4)}"


def by(bailiwick, cluster, key=None):
    key_id, secret = key or (bailiwick.key_id, bailiwick.secret)
    return Associations(cce_client(bailiwick.base, key_id, secret, bailiwick.project), cluster)


@pytest.fixture
def agency(bailiwick):
    agency = name("agency")
    bailiwick.do("agency", "create", agency)
    return agency


@pytest.fixture
def here(bailiwick):
    """The associations of a cluster of this test's own."""
    return by(bailiwick, bailiwick.add_cluster())


@pytest.fixture
def someone(bailiwick):
    """Makes a user who may do what a document says: their key."""

    def make(*statements):
        user = bailiwick.add_user()
        document = {"Version": "5.0", "Statement": list(statements)}
        policy = name("policy")
        bailiwick.do("policy", "create", policy, "--document", "-", text=json.dumps(document))
        bailiwick.do("policy", "attach", policy, "--user", user)
        return bailiwick.add_key(user)

    return make


def allow(*actions, resource="*", condition=None):
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": [resource]}
    return statement | ({"Condition": condition} if condition else {})


def refused(status, call, *arguments, **named):
    with pytest.raises(ClientRequestException) as caught:
        call(*arguments, **named)
    assert caught.value.status_code == status, caught.value.error_msg
    return caught.value


def raw(bailiwick, method, cluster, body=None, uid=None, project=None):
    """The answer to a request that the SDK would not make: status and JSON."""
    project = project or bailiwick.project
    path = f"/api/v3/projects/{project}/clusters/{cluster}/pod-identity-associations" + (f"/{uid}" if uid else "")
    return asked(bailiwick.client(), method, path, body)


def asked(client, method, path, body=None):
    """Status and JSON of an answer, whatever it is."""
    answer = client.request(method, path, body)
    return answer.status, answer.json() if answer.body else None


def test_the_five_operations(bailiwick, here, agency):
    assert here.list() == []
    made = here.create(account="cart", agency=agency, tags=TAGS)
    assert made.status_code == 201
    assert (made.cluster_id, made.namespace, made.service_account) == (here.cluster, "shop", "cart")
    assert made.agency_name == agency and made.created_at.endswith("Z") and made.modified_at
    assert sorted((tag.key, tag.value) for tag in made.tags) == [("team", "a"), ("空 格", "")]
    shown = here.show(made.uid)
    assert (shown.status_code, shown.to_dict()) == (200, made.to_dict())
    assert [found.to_dict() for found in here.list()] == [made.to_dict()]
    other = name("agency")
    bailiwick.do("agency", "create", other)
    changed = here.update(made.uid, other)
    assert (changed.status_code, changed.agency_name, changed.uid) == (200, other, made.uid)
    assert changed.tags and changed.created_at == made.created_at
    gone = here.delete(made.uid)
    assert gone.status_code == 204
    assert refused(404, here.show, made.uid).error_code == "CCE.01404001"
    refused(404, here.update, made.uid, agency)
    assert here.list() == []


def test_the_answers_as_they_are_on_the_wire(bailiwick, here, agency):
    status, listed = raw(bailiwick, "GET", here.cluster)
    assert (status, listed) == (200, [])
    uid = here.create(account="cart", agency=agency).uid
    _, [found] = raw(bailiwick, "GET", here.cluster)
    assert found["tags"] == [] and found["updatedAt"] == found["modifiedAt"]
    assert list(found) == [
        "uid",
        "clusterId",
        "namespace",
        "serviceAccount",
        "agencyName",
        "tags",
        "createdAt",
        "modifiedAt",
        "updatedAt",
    ]
    assert raw(bailiwick, "DELETE", here.cluster, uid=uid) == (204, None)


def test_a_service_account_has_one_association(here, agency):
    uid = here.create(account="cart", agency=agency).uid
    error = refused(409, here.create, account="cart", agency=agency)
    assert error.error_code == "CCE.01409001" and "has an association" in error.error_msg
    here.create(namespace="bank", account="cart", agency=agency)
    here.delete(uid)
    here.create(account="cart", agency=agency)


GOOD_TAGS = [
    [],
    [{"key": "k" * 128, "value": "v" * 255}],
    [{"key": "a_.:=+-@ 9", "value": "_.:/=+-@"}],
    [{"key": "команда", "value": "значение"}, {"key": "टीम", "value": "हिन्दी"}, {"key": "ทีม", "value": "ที่"}],
    [{"key": "K", "value": "1"}, {"key": "k", "value": "2"}],
    [{"key": "sys_", "value": " "}],
    [{"key": str(place), "value": ""} for place in range(20)],
]

BAD_TAGS = [
    ([{"key": "", "value": "v"}], "tags[0].key"),
    ([{"key": "k" * 129, "value": "v"}], "tags[0].key"),
    ([{"key": " k", "value": "v"}], "tags[0].key"),
    ([{"key": "k ", "value": "v"}], "tags[0].key"),
    ([{"key": "_sys_k", "value": "v"}], "tags[0].key"),
    ([{"key": "a/b", "value": "v"}], "tags[0].key"),
    ([{"key": "a*", "value": "v"}], "tags[0].key"),
    ([{"key": "a\n", "value": "v"}], "tags[0].key"),
    ([{"key": "a\u200bb", "value": "v"}], "tags[0].key"),
    ([{"key": "k", "value": "v" * 256}], "tags[0].value"),
    ([{"key": "k", "value": "a,b"}], "tags[0].value"),
    ([{"key": "k", "value": "a\u0001"}], "tags[0].value"),
    ([{"key": "k"}], "tags.value"),
    ([{"key": "k", "value": None}], "tags.value"),
    ([{"value": "v"}], "tags.key"),
    ([{"key": "k", "value": 1}], "tags.value"),
    ([{"key": "k", "value": "v", "more": "m"}], "tags.more"),
    ([{"key": "k", "value": "1"}, {"key": "k", "value": "1"}], "tags[1].key"),
    ([{"key": str(place), "value": ""} for place in range(21)], "tags"),
    ({"key": "k", "value": "v"}, "tags"),
]


def test_tags_of_every_script_are_kept_as_they_are(here, agency):
    for tags in GOOD_TAGS:
        made = here.create(agency=agency, tags=tags)
        kept = {tag.key: tag.value for tag in here.show(made.uid).tags or []}
        assert kept == {tag["key"]: tag["value"] for tag in tags}


def test_what_breaks_a_rule_is_named_and_changes_nothing(bailiwick, here, agency):
    good = {"namespace": "shop", "serviceAccount": "cart", "agencyName": agency}
    bodies = [(good | {"tags": tags}, field) for tags, field in BAD_TAGS]
    bodies += [({key: value for key, value in good.items() if key != field}, field) for field in good]
    bodies += [
        (good | {"namespace": "Shop"}, "namespace"),
        (good | {"namespace": "*"}, "namespace"),
        (good | {"serviceAccount": "a_b"}, "serviceAccount"),
        (good | {"serviceAccount": ""}, "serviceAccount"),
        (good | {"agencyName": "never"}, "agencyName"),
        (good | {"agencyName": 1}, "agencyName"),
        (good | {"agency": agency}, "agency"),
    ]
    for body, field in bodies:
        status, answer = raw(bailiwick, "POST", here.cluster, body)
        assert (status, answer["error_code"]) == (400, "CCE.01400001"), body
        assert f"`{field}`" in answer["error_msg"], (body, answer)
    assert here.list() == []


def test_only_the_agency_can_be_changed(bailiwick, here, agency):
    made = here.create(account="cart", agency=agency)
    other = name("agency")
    bailiwick.do("agency", "create", other)
    for field, value in [("namespace", "shop"), ("serviceAccount", "cart"), ("tags", []), ("uid", made.uid), ("x", 1)]:
        status, answer = raw(bailiwick, "PUT", here.cluster, {"agencyName": other, field: value}, made.uid)
        assert status == 400 and f"`{field}`" in answer["error_msg"], answer
    assert raw(bailiwick, "PUT", here.cluster, {}, made.uid)[0] == 400
    assert raw(bailiwick, "PUT", here.cluster, {"agencyName": "never"}, made.uid)[0] == 400
    assert here.show(made.uid).to_dict() == made.to_dict()


def test_ids_of_others_are_as_if_they_were_not(bailiwick, here, agency):
    made = here.create(account="cart", agency=agency)
    other = by(bailiwick, bailiwick.add_cluster())
    refused(404, other.show, made.uid)
    refused(404, other.delete, made.uid)
    unknown = by(bailiwick, "never")
    said = refused(404, unknown.list).error_msg
    refused(404, unknown.create, agency=agency)
    project = name("project")
    bailiwick.do("project", "create", "--id", project, project)
    status, answer = raw(bailiwick, "GET", here.cluster, project=project)
    assert (status, answer["error_msg"]) == (404, said.replace("never", here.cluster))
    assert raw(bailiwick, "GET", here.cluster, project="never")[0] == 404
    # Names are no ids here.
    named = bailiwick.cluster(here.cluster)["name"]
    assert raw(bailiwick, "GET", named)[0] == 404 or named == here.cluster
    assert here.accounts() == ["cart"]


def test_another_accounts_clusters_and_agencies_are_unknown(new_server):
    server = new_server().start()
    mine, agency = by(server, server.add_cluster()), name("agency")
    server.do("agency", "create", agency)
    uid = mine.create(agency=agency).uid
    made = server.cli("account", "create", "other", "--data-dir", server.data)
    theirs = (made["accessKeyId"], made["secretAccessKey"])
    client = cce_client(server.base, *theirs)
    unknown = refused(404, Associations(client, "never").list).error_msg
    foreign = Associations(client, mine.cluster)
    assert refused(404, foreign.list).error_msg == unknown.replace("never", mine.cluster)
    for call in (lambda: foreign.show(uid), lambda: foreign.delete(uid), lambda: foreign.update(uid, agency)):
        refused(404, call)
    assert mine.accounts()


def test_lists_show_the_rows_that_their_reader_may_see(bailiwick, here, agency, someone):
    for account, team in [("a1", "a"), ("a2", "a"), ("b1", "b")]:
        here.create(account=account, agency=agency, tags=[{"key": "team", "value": team}])
    here.create(account="none", agency=agency)
    other = by(bailiwick, bailiwick.add_cluster())
    lists = "cce:podIdentityAssociation:list"
    own = "bailiwick:ResourceTag/team"
    for condition, seen in [
        ({"StringEquals": {own: ["a"]}}, ["a1", "a2"]),
        ({"StringNotEquals": {own: ["a"]}}, ["b1", "none"]),
        ({"StringEqualsIfExists": {own: ["a"]}}, ["a1", "a2", "none"]),
        ({"StringEquals": {"cce:ClusterId": [here.cluster]}}, ["a1", "a2", "b1", "none"]),
        ({"StringNotEquals": {"cce:ClusterId": [other.cluster]}}, ["a1", "a2", "b1", "none"]),
        ({"StringEquals": {"g:EnterpriseProjectId": ["0"]}}, ["a1", "a2", "b1", "none"]),
    ]:
        key = someone(allow(lists, condition=condition))
        assert by(bailiwick, here.cluster, key).accounts() == seen, condition
    only_there = someone(allow(lists, condition={"StringEquals": {"cce:ClusterId": [other.cluster]}}))
    assert by(bailiwick, other.cluster, only_there).list() == []
    refused(403, by(bailiwick, here.cluster, only_there).list)
    # What does not exist and what may not be seen are told apart by nobody who may not look.
    refused(403, by(bailiwick, "never", only_there).list)


def test_each_operation_takes_its_own_right_and_tags_can_be_asked_for(bailiwick, here, agency, someone):
    teams = {team: here.create(agency=agency, tags=[{"key": "team", "value": team}]).uid for team in "ab"}
    mine = {"StringEquals": {"g:ResourceTag/team": ["a"]}}
    verbs = ["get", "update", "delete"]
    key = someone(
        allow(*[f"cce:podIdentityAssociation:{verb}" for verb in verbs], condition=mine), allow("iam:agencies:pass")
    )
    person = by(bailiwick, here.cluster, key)
    person.show(teams["a"])
    person.update(teams["a"], agency)
    refused(403, person.show, teams["b"])
    refused(403, person.update, teams["b"], agency)
    refused(403, person.delete, teams["b"])
    refused(403, person.list)
    refused(403, person.create, agency=agency)
    person.delete(teams["a"])
    wanted = {"StringEquals": {"g:RequestTag/team": ["a"]}, "ForAllValues:StringEquals": {"g:TagKeys": ["team"]}}
    key = someone(allow("cce:podIdentityAssociation:create", condition=wanted), allow("iam:agencies:pass"))
    maker = by(bailiwick, here.cluster, key)
    maker.create(agency=agency, tags=[{"key": "team", "value": "a"}])
    refused(403, maker.create, agency=agency, tags=[{"key": "team", "value": "b"}])
    refused(403, maker.create, agency=agency)
    refused(403, maker.create, agency=agency, tags=[{"key": "team", "value": "a"}, {"key": "x", "value": ""}])


def test_creating_and_changing_take_the_right_to_pass_the_agency(bailiwick, here, agency, someone):
    strong = name("agency")
    bailiwick.do("agency", "create", strong)
    full = "cce:podIdentityAssociation:*"
    without = by(bailiwick, here.cluster, someone(allow(full)))
    error = refused(403, without.create, agency=agency)
    assert "iam:agencies:pass" in error.error_msg
    passing = allow("iam:agencies:pass", resource=f"iam::*:agency:{agency}")
    person = by(bailiwick, here.cluster, someone(allow(full), passing))
    made = person.create(account="cart", agency=agency)
    refused(403, person.create, agency=strong)
    refused(403, person.create, agency="never")
    refused(403, person.update, made.uid, strong)
    refused(403, without.update, made.uid, agency)
    assert here.show(made.uid).to_dict() == made.to_dict()
    assert here.accounts() == ["cart"]


def test_a_recreated_agency_inherits_nothing(bailiwick, here, agency):
    here.create(account="cart", agency=agency)
    ran = bailiwick.run("agency", "delete", agency)
    assert ran.returncode == 1 and "1 pod identity association" in ran.stderr
    assert here.accounts() == ["cart"]
    bailiwick.do("agency", "delete", "--force", agency)
    bailiwick.do("agency", "create", agency)
    assert here.list() == []


def test_an_agency_with_associations_cannot_be_deleted_in_the_vendors_words(bailiwick, here, agency):
    here.create(agency=agency)
    found = [one for one in bailiwick.client().call("GET", "/bailiwick/v1/agencies")["items"] if one["name"] == agency]
    for path in (f"/v3.0/OS-AGENCY/agencies/{found[0]['id']}", f"/v5/agencies/{found[0]['id']}"):
        status, answer = asked(bailiwick.client(), "DELETE", path)
        assert status == 409, answer
    assert here.list()


def test_a_trust_policy_that_speaks_of_pods_narrows_who_gets_the_agency(bailiwick, here, tmp_path):
    trusted, document = name("agency"), tmp_path / "trust.json"
    statement = {
        "Effect": "Allow",
        "Action": ["sts:agencies:assume"],
        "Principal": {"Service": ["service.cce.pods"]},
        "Condition": {"StringEquals": {"cce:ClusterId": [here.cluster], "bailiwick:Namespace": ["shop"]}},
    }
    document.write_text(json.dumps({"Version": "5.0", "Statement": [statement]}), encoding="utf-8")
    bailiwick.do("agency", "create", trusted, "--trust", document)
    here.create(agency=trusted)
    error = refused(409, here.create, namespace="bank", agency=trusted)
    assert "trust policy" in error.error_msg
    refused(409, by(bailiwick, bailiwick.add_cluster()).create, agency=trusted)


def test_associations_end_with_their_cluster(bailiwick, agency):
    cluster = bailiwick.add_cluster()
    by(bailiwick, cluster).create(agency=agency)
    bailiwick.do("cluster", "remove", cluster)
    refused(404, by(bailiwick, cluster).list)
    bailiwick.do("agency", "delete", agency)


def test_people_manage_them_by_the_command_line(bailiwick, here, agency):
    def run(*arguments):
        return bailiwick.do("pod-identity", *arguments, "--cluster", here.cluster)

    cart = ("-n", "shop", "--service-account", "cart")
    made = bailiwick.cli(
        "pod-identity", "create", "--cluster", here.cluster, *cart, "--agency", agency, "--tag", "team=a=b"
    )
    assert made["agency"]["name"] == agency and made["tags"] == {"team": "a=b"}
    assert here.show(made["id"]).tags[0].value == "a=b"
    table = run("list")
    assert "cart" in table and agency in table and made["id"] in table
    assert run("list", "-n", "bank") == ""
    other = name("agency")
    bailiwick.do("agency", "create", other)
    assert other in run("update", *cart, "--agency", other)
    assert agency in run("update", made["id"], "--agency", agency)
    run("delete", *cart)
    assert here.list() == []
    ran = bailiwick.run("pod-identity", "delete", "--cluster", here.cluster, *cart)
    assert ran.returncode == 1 and "has no association" in ran.stderr


def test_an_agents_key_follows_its_own_cluster_and_does_nothing_else(bailiwick, here, agency):
    here.create(account="cart", agency=agency)
    below = f"/bailiwick/v1/clusters/{here.cluster}/pod-identity"
    made = bailiwick.client().call("POST", f"{below}/agent")
    agent = bailiwick.client((made["accessKeyId"], made["secretAccessKey"]))
    feed = agent.call("GET", f"{below}/feed?after=0&wait=0")
    assert feed["complete"] and [known["serviceAccount"] for known in feed["associations"]] == ["cart"]
    assert feed["verification"]["audience"] == "service.cce.pods"
    other = bailiwick.add_cluster()
    for method, path in [
        ("GET", f"/bailiwick/v1/clusters/{other}/pod-identity/feed?after=0&wait=0"),
        ("POST", f"/bailiwick/v1/clusters/{other}/pod-identity/agent/renew"),
        ("POST", f"{below}/agent"),
        ("GET", f"{below}/associations"),
        ("GET", "/bailiwick/v1/clusters"),
        ("GET", "/bailiwick/v1/users"),
        ("GET", f"/api/v3/projects/{bailiwick.project}/clusters/{here.cluster}/pod-identity-associations"),
    ]:
        assert asked(agent, method, path)[0] == 403, path
    # What every other member of the account may read, an agent may not: it sees no cluster.
    clusters = f"/v5/{bailiwick.project}/container/kubernetes/multi-cloud/clusters"
    assert asked(bailiwick.client(), "GET", clusters)[1]["total_num"] > 0
    assert asked(agent, "GET", clusters)[1]["total_num"] == 0
    users = bailiwick.do("user", "list")
    assert made["principal"] in users
    assert asked(agent, "POST", f"{below}/agent/renew")[0] == 403, "a node's key does not make itself last"
    keeper = bailiwick.client((made["keeper"]["accessKeyId"], made["keeper"]["secretAccessKey"]))
    second = keeper.call("POST", f"{below}/agent/renew")
    assert second["principal"] == made["principal"] and second["accessKeyId"] != made["accessKeyId"]
    assert second["keeper"]["principal"] == made["keeper"]["principal"]
    assert asked(keeper, "POST", f"{below}/agent/renew")[0] == 429
    third = bailiwick.client().call("POST", f"{below}/agent", {"endOthers": True})
    for key in (made, second):
        ended = bailiwick.client((key["accessKeyId"], key["secretAccessKey"]))
        assert asked(ended, "GET", f"{below}/feed")[0] == 401
    agent = bailiwick.client((third["accessKeyId"], third["secretAccessKey"]))
    assert asked(agent, "GET", f"{below}/feed")[0] == 200
    bailiwick.do("revoke", "principal", made["principal"])
    assert asked(agent, "GET", f"{below}/feed")[0] == 401
    assert asked(bailiwick.client(), "POST", f"{below}/agent")[0] == 409
    assert asked(bailiwick.client(), "DELETE", f"{below}/agent")[0] == 204
    assert made["principal"] not in bailiwick.do("user", "list")


def test_a_poll_ends_with_a_change_and_does_not_hold_up_the_end_of_the_server(new_server):
    import threading
    import time

    server = new_server().start()
    here, agency = by(server, server.add_cluster()), name("agency")
    server.do("agency", "create", agency)
    below = f"/bailiwick/v1/clusters/{here.cluster}/pod-identity"
    made = server.client().call("POST", f"{below}/agent")
    key = (made["accessKeyId"], made["secretAccessKey"])

    def poll(after):
        answer = []
        ask = lambda: answer.append(asked(server.client(key), "GET", f"{below}/feed?after={after}&wait=20"))
        thread = threading.Thread(target=ask)
        thread.start()
        return thread, answer

    known = server.client(key).call("GET", f"{below}/feed")["revision"]
    thread, answer = poll(known)
    time.sleep(0.3)
    assert thread.is_alive()
    started = time.monotonic()
    uid = here.create(account="cart", agency=agency).uid
    thread.join(15)
    assert time.monotonic() - started < 10, "a poll without a change takes 20 seconds"
    [(status, feed)] = answer
    assert status == 200 and [one["id"] for one in feed["associations"]] == [uid] and not feed["complete"]
    thread, answer = poll(feed["revision"])
    # It must have come to the server, which nobody can see from outside.
    time.sleep(2)
    started = time.monotonic()
    server.stop()
    assert time.monotonic() - started < 8, "requests in flight have ten seconds"
    thread.join(15)
    assert answer and answer[0][0] == 200
