"""Access that a revoke cannot take away, because somebody else gives it."""

import re
import secrets
import urllib.request

from harness.kube import RBAC, role_binding
from harness.process import until


def residual(bailiwick):
    """How many revokes leave something, as the metrics count them."""
    with urllib.request.urlopen(f"{bailiwick.base}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return int(re.search(r'^bailiwick_grant_states\{state="revoked-residual"\} (\d+)$', text, re.MULTILINE)[1])


def test_what_a_revoke_leaves_is_named_counted_and_heals(bailiwick, kube, cluster, namespace):
    user = bailiwick.add_user()
    theirs = f"theirs-{secrets.token_hex(3)}"
    collection = f"{RBAC}/namespaces/{namespace}/rolebindings"
    kube.create(collection, role_binding(theirs, namespace, "view", user))
    asked = {
        "role": "viewer",
        "principals": {"type": "user", "ids": [user]},
        "clusters": [cluster],
        "namespaces": [namespace],
    }
    grant = bailiwick.client().call("POST", "/bailiwick/v1/grants", asked, status=201)["id"]
    bailiwick.until_state(grant, cluster, "effective")
    before = residual(bailiwick)
    bailiwick.do("grant", "delete", grant)
    row = bailiwick.until_state(grant, cluster, "revoked-residual")
    assert f"RoleBinding {namespace}/{theirs}" in row["reason"]
    assert user in row["reason"]
    shown = bailiwick.do("grant", "show", grant)
    assert "revoked-residual" in shown
    assert f"RoleBinding {namespace}/{theirs}" in shown
    assert residual(bailiwick) == before + 1

    kube.delete(f"{collection}/{theirs}")
    assert bailiwick.until_state(grant, cluster, "revoked")["reason"] == ""
    until(lambda: residual(bailiwick) == before, 5, "it is counted no longer")
