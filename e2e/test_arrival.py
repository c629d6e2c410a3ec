"""Under which names people arrive in a cluster."""

import secrets

import pytest

from harness.kube import RBAC, BindingWatch, cluster_role_binding, role_binding, subjects
from harness.process import until


@pytest.fixture
def cluster(bailiwick, api_server):
    """A cluster of the test's own: its names are changed."""
    made = bailiwick.add_cluster(api_server)
    yield made
    bailiwick.do("cluster", "remove", made)


def grant_to(bailiwick, principal, cluster, namespace, kind="user", role="viewer"):
    asked = {
        "role": role,
        "principals": {"type": kind, "ids": [principal] if isinstance(principal, str) else principal},
        "clusters": [cluster],
        "namespaces": [namespace],
    }
    return bailiwick.client().call("POST", "/bailiwick/v1/grants", asked, status=201)["id"]


def add_user(bailiwick, *external):
    """A user with external ids: (id, name)."""
    name = f"user-{secrets.token_hex(4)}"
    ids = [{"issuer": issuer, "subject": subject} for issuer, subject in external]
    body = {"name": name, "externalIds": ids}
    return bailiwick.client().call("POST", "/bailiwick/v1/users", body, status=201)["id"], name


def test_a_grant_binds_the_names_of_the_cluster_and_no_others(bailiwick, api_server, kube, cluster, namespace):
    subject = f"10{secrets.randbelow(10**8)}"
    user, name = add_user(bailiwick, ("corp", subject), ("corp", f"{subject}-17"))
    arguments = ("--user-name-template", "oidc:{name}", "--user-name-template", "{external.corp}")
    shown = bailiwick.cli("cluster", "update", cluster, *arguments)
    assert shown["userNameTemplates"] == ["oidc:{name}", "{external.corp}"]
    assert "`oidc:{name}` or `{external.corp}`" in bailiwick.do("cluster", "show", cluster)

    grant = grant_to(bailiwick, user, cluster, namespace)
    bailiwick.until_state(grant, cluster, "effective")
    for arriving in (f"oidc:{name}", subject, f"{subject}-17"):
        assert kube.allowed(arriving, "get", "pods", namespace), arriving
    assert not kube.allowed(user, "get", "pods", namespace)
    # A real certificate of that name.
    person = api_server.client_as(f"{subject}-17")
    assert person.request("GET", f"/api/v1/namespaces/{namespace}/pods")[0] == 200

    bailiwick.client().call("DELETE", f"/bailiwick/v1/grants/{grant}", status=204)
    bailiwick.until_state(grant, cluster, "revoked")
    assert not kube.allowed(f"oidc:{name}", "get", "pods", namespace)
    assert person.request("GET", f"/api/v1/namespaces/{namespace}/pods")[0] == 403


def test_changing_a_template_interrupts_nobody_and_removes_the_old_names(
    bailiwick, api_server, kube, cluster, namespace
):
    user, name = add_user(bailiwick)
    grant = grant_to(bailiwick, user, cluster, namespace)
    bailiwick.until_state(grant, cluster, "effective")
    mark = f"mark-{secrets.token_hex(4)}"
    with BindingWatch(api_server) as watch:
        bailiwick.cli("cluster", "update", cluster, "--user-name-template", "{name}")
        kube.until_allowed(name, "get", "pods", namespace)
        kube.until_refused(user, "get", "pods", namespace)
        bailiwick.until_state(grant, cluster, "effective")
        kube.create(f"{RBAC}/namespaces/{namespace}/rolebindings", role_binding(mark, namespace, "view", "x"))
        kube.create(f"{RBAC}/clusterrolebindings", cluster_role_binding(mark, "view", "x"))
        watch.wait_for(mark)
    kube.delete(f"{RBAC}/clusterrolebindings/{mark}")
    held = [{one for binding in bindings.values() for one in subjects(binding)} for _, bindings in watch.states()]
    assert all(user in names or name in names for names in held)
    assert any(user in names and name in names for names in held), "the new name comes before the old one goes"


def test_nobody_becomes_an_identity_of_the_clusters_own(bailiwick, kube, cluster, namespace):
    bad, _ = add_user(bailiwick, ("ldap", f"system:{secrets.token_hex(3)}"))
    nameless, _ = add_user(bailiwick)
    good, _ = add_user(bailiwick, ("ldap", f"good-{secrets.token_hex(3)}"))
    bailiwick.cli("cluster", "update", cluster, "--user-name-template", "{external.ldap}")
    mixed = grant_to(bailiwick, [bad, nameless, good], cluster, namespace)
    row = bailiwick.until_state(mixed, cluster, "effective")
    assert bad in row["reason"]
    assert "system:" in row["reason"]
    assert nameless in row["reason"]
    assert good not in row["reason"]
    alone = grant_to(bailiwick, bad, cluster, namespace)
    assert "system:" in bailiwick.until_state(alone, cluster, "failed")["reason"]
    ours = kube.bindings(f"bailiwick.dev/cluster={cluster}")
    assert not [name for binding in ours for name in subjects(binding) if name.startswith("system:")]

    for template in ("system:{id}", "system:masters", "everybody", "{id", "{external.}"):
        refusal = bailiwick.run("cluster", "update", cluster, "--user-name-template", template)
        assert refusal.returncode == 1, template
        assert "userNameTemplates" in refusal.stderr


def test_of_two_who_share_a_name_a_revoke_says_that_the_other_still_has_it(bailiwick, kube, cluster, namespace):
    shared = f"shared-{secrets.token_hex(3)}"
    first, second = (add_user(bailiwick, (issuer, shared))[0] for issuer in ("one", "two"))
    templates = ("--user-name-template", "{external.one}", "--user-name-template", "{external.two}")
    bailiwick.cli("cluster", "update", cluster, *templates)
    grants = [grant_to(bailiwick, user, cluster, namespace) for user in (first, second)]
    for grant in grants:
        bailiwick.until_state(grant, cluster, "effective")
    bailiwick.client().call("DELETE", f"/bailiwick/v1/grants/{grants[0]}", status=204)
    row = bailiwick.until_state(grants[0], cluster, "revoked-residual")
    assert shared in row["reason"]
    assert grants[1] in row["reason"]
    assert kube.allowed(shared, "get", "pods", namespace), "the other's grant is honoured"
    bailiwick.client().call("DELETE", f"/bailiwick/v1/grants/{grants[1]}", status=204)
    kube.until_refused(shared, "get", "pods", namespace)
    for grant in grants:
        bailiwick.until_state(grant, cluster, "revoked")


def test_a_group_has_the_name_that_the_cluster_gives_it(bailiwick, kube, cluster, namespace):
    bailiwick.cli("cluster", "update", cluster, "--group-name-template", "oidc:{name}")
    group = bailiwick.add_group(name=f"team-{secrets.token_hex(3)}")
    [name] = [item["name"] for item in bailiwick.cli("group", "list")["items"] if item["id"] == group]
    grant = grant_to(bailiwick, group, cluster, namespace, kind="group")
    bailiwick.until_state(grant, cluster, "effective")
    assert kube.allowed("anybody", "get", "pods", namespace, groups=[f"oidc:{name}"])
    assert not kube.allowed("anybody", "get", "pods", namespace, groups=[group])


# --- people who come by certificate -----------------------------------------------------------------------------


def pods(person, namespace):
    return person.request("GET", f"/api/v1/namespaces/{namespace}/pods")[0]


def test_with_certificates_joining_a_group_gives_and_leaving_it_takes_away(bailiwick, api_server, kube, namespace):
    arguments = ("cluster", "add", f"certs-{secrets.token_hex(3)}", "--bind-group-members", "--kubeconfig", "-")
    cluster = bailiwick.cli(*arguments, text=api_server.kubeconfig)["id"]
    bailiwick.clusters.append((cluster, api_server))
    assert "without presenting" in bailiwick.cluster(cluster)["login"]
    stays, user = bailiwick.add_user(), bailiwick.add_user()
    group = bailiwick.add_group(stays)
    grant = grant_to(bailiwick, group, cluster, namespace, kind="group")
    bailiwick.until_state(grant, cluster, "effective", timeout=30)
    person = api_server.client_as(user)
    assert pods(person, namespace) == 403

    bailiwick.do("group", "add-member", group, user)
    until(lambda: pods(person, namespace) == 200, 2, "whoever joins may")
    bailiwick.do("group", "remove-member", group, user)
    until(lambda: pods(person, namespace) == 403, 2, "whoever left may not")
    [binding] = kube.bindings(f"bailiwick.dev/cluster={cluster}")
    assert sorted(subjects(binding)) == sorted([group, stays])

    # Whoever is deleted has left as well.
    bailiwick.do("group", "add-member", group, user)
    until(lambda: pods(person, namespace) == 200, 2, "whoever joins may")
    bailiwick.client().call("DELETE", f"/bailiwick/v1/users/{user}", status=204)
    until(lambda: pods(person, namespace) == 403, 2, "whoever was deleted may not")

    # One who has it by a grant of their own as well keeps it.
    both = bailiwick.add_user()
    own = grant_to(bailiwick, both, cluster, namespace)
    bailiwick.do("group", "add-member", group, both)
    bailiwick.until_state(own, cluster, "effective")
    bailiwick.do("group", "remove-member", group, both)
    assert pods(api_server.client_as(both), namespace) == 200
    bailiwick.do("cluster", "update", cluster, "--no-bind-group-members")
    until(lambda: subjects(binding_of_group(kube, cluster, group)) == [both, group], 10, "the group alone is bound")
    bailiwick.do("cluster", "remove", cluster)


def binding_of_group(kube, cluster, group):
    [binding] = kube.bindings(f"bailiwick.dev/cluster={cluster}")
    binding["subjects"].sort(key=lambda subject: subject["kind"], reverse=True)
    return binding


def test_on_other_clusters_a_group_is_bound_alone(bailiwick, kube, cluster, namespace):
    user = bailiwick.add_user()
    group = bailiwick.add_group(user)
    grant = grant_to(bailiwick, group, cluster, namespace, kind="group")
    bailiwick.until_state(grant, cluster, "effective")
    assert not kube.allowed(user, "get", "pods", namespace)
    [binding] = kube.bindings(f"bailiwick.dev/cluster={cluster}")
    assert subjects(binding) == [group]
