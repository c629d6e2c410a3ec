"""Objects grow with roles and scopes, never with users and namespaces."""

import time

import pytest

from harness import figures
from harness.kube import MANAGED, subjects
from harness.process import until

USERS, GROUPS, NAMESPACES = 1000, 50, 200
ROLES = ["administrator", "operator", "developer", "viewer"]
LARGEST = 500


@pytest.mark.timeout(300)
def test_a_thousand_users_make_no_more_bindings_than_roles_and_scopes(unbound, kube):
    bailiwick, cluster = unbound
    namespaces = [kube.create_namespace(f"many-{n}") for n in range(NAMESPACES)]
    users = [bailiwick.add_user(name=f"many-{n}") for n in range(USERS)]
    size = USERS // GROUPS
    groups = [bailiwick.add_group(*users[n * size : (n + 1) * size], name=f"many-{n}") for n in range(GROUPS)]
    grants = []

    def grant(role, kind, ids, scope):
        for start in range(0, len(ids), LARGEST):
            grants.append((role, kind, ids[start : start + LARGEST], scope))

    for number, group in enumerate(groups):
        # Eight namespaces each, two groups per namespace, every role.
        mine = [namespaces[(number * 4 + step) % NAMESPACES] for step in range(8)]
        grant(ROLES[number % len(ROLES)], "group", [group], mine)
    grant("viewer", "user", users, ["*"])  # more than one binding holds
    grant("developer", "user", users[:600], namespaces[:3])
    grant("operator", "user", users[:10], namespaces)
    expected = {}
    for role, _, ids, scope in grants:
        for one in scope:
            expected.setdefault((role, one), set()).update(ids)
    allowed = sum(-(-len(who) // LARGEST) for who in expected.values())
    splits = allowed - len(expected)

    client, before = bailiwick.client(), time.monotonic()
    ids = [
        client.call(
            "POST",
            "/bailiwick/v1/grants",
            {
                "name": "many",
                "role": role,
                "principals": {"type": kind, "ids": ids},
                "clusters": [cluster],
                "namespaces": scope,
            },
            status=201,
        )["id"]
        for role, kind, ids, scope in grants
    ]
    until(
        lambda: all(bailiwick.state(one, cluster)["state"] == "effective" for one in ids),
        120,
        "every grant is effective",
        interval=0.2,
    )
    took = time.monotonic() - before

    ours = kube.bindings(f"{MANAGED},bailiwick.dev/cluster={cluster}")
    figures.note(
        f"object count: {USERS} users, {GROUPS} groups, {NAMESPACES} namespaces, {len(ROLES)} roles, "
        f"{len(grants)} grants: {len(ours)} bindings; allowed {len(expected)} scopes in use + {splits} splits; "
        f"all effective after {took:.1f} s"
    )
    assert splits > 0
    assert len(ours) <= allowed
    assert max(len(subjects(binding)) for binding in ours) <= LARGEST
    held = {}
    for binding in ours:
        where = binding["metadata"].get("namespace", "*")
        held.setdefault((binding["roleRef"]["name"], where), []).extend(subjects(binding))
    names = {"administrator": "cluster-admin", "operator": "bailiwick:operator", "developer": "edit", "viewer": "view"}
    assert {key: sorted(who) for key, who in held.items()} == {
        (names[role], where): sorted(who) for (role, where), who in expected.items()
    }
