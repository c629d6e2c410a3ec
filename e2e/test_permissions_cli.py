"""What somebody holds, from where, and how it comes back: on the command line, on both databases."""

import json
import secrets

import pytest

BOTH = ["sqlite", "postgres"]
pytestmark = pytest.mark.parametrize("bailiwick", BOTH, indirect=True)


def unique(noun):
    return f"{noun}-{secrets.token_hex(4)}"


@pytest.fixture
def user(bailiwick):
    return bailiwick.cli("user", "create", unique("user"))


@pytest.fixture
def detached(bailiwick):
    """A cluster without a connection: grants are recorded, and that is all that is needed here."""
    return bailiwick.cli("cluster", "add", unique("cluster"))


def add(bailiwick, user, cluster, role="developer", *scope):
    place = scope or ("--all-namespaces",)
    return bailiwick.cli("user", "add-permission", user["name"], "--role", role, "--cluster", cluster["name"], *place)


def rows(bailiwick, user, **options):
    return bailiwick.cli("user", "permissions", user["name"], **options)["items"]


def test_each_row_says_from_where_it_comes_and_who_said_so(bailiwick, user, detached):
    group = bailiwick.cli("group", "create", unique("group"))
    bailiwick.do("group", "add-member", group["name"], user["name"])
    other = bailiwick.cli("user", "create", unique("user"))
    owned = bailiwick.cli("cluster", "add", unique("cluster"), "--owner", user["name"])
    add(bailiwick, user, detached, "developer", "-n", "shop")
    place = ("--cluster", detached["id"], "--all-namespaces")
    of_group = bailiwick.cli("grant", "create", "--group", group["name"], "--role", "viewer", *place)
    shared = bailiwick.cli(
        "grant", "create", "--user", user["id"], "--user", other["id"], "--role", "operator", *place, "--name", "both"
    )
    held = bailiwick.cli("user", "permissions", user["name"])
    assert held["complete"] is True and held["holder"]["id"] == user["id"]
    kinds = {through["kind"]: (row, through) for row in held["items"] for through in row["through"]}
    assert set(kinds) == {"direct", "group", "shared", "owner"}
    row, through = kinds["direct"]
    assert row["place"] == {"cluster": detached["id"], "namespace": "shop"} and row["role"] == "developer"
    assert (through["actor"], through["dialect"]) == (bailiwick.root, "native") and through["at"].startswith("20")
    row, through = kinds["group"]
    assert through["group"] == {"id": group["id"], "name": group["name"]} and through["grant"] == of_group["id"]
    assert row["place"] == {"cluster": detached["id"], "namespace": None} and row["owner"] is False
    assert (kinds["shared"][1]["grant"], kinds["shared"][1]["grantName"]) == (shared["id"], "both")
    row, _ = kinds["owner"]
    assert (row["place"]["cluster"], row["role"], row["owner"]) == (owned["id"], "administrator", True)
    table = bailiwick.do("user", "permissions", user["id"])
    assert "SOURCE" in table and f"group {group['name']}" in table and "owner" in table
    cells = next(line for line in table.splitlines() if " shop " in line).split()
    assert cells[:4] == [detached["id"], "shop", "developer", "direct"]


def test_what_was_granted_through_another_dialect_says_so(bailiwick, user, detached):
    policy = {
        "name": "walk",
        "clusters": [detached["id"]],
        "accessScope": {"namespaces": ["*"]},
        "policyType": "CCEViewPolicy",
        "principal": {"type": "user", "ids": [user["id"]]},
    }
    bailiwick.client().call("POST", "/api/v3/access-policies", policy, status=201)
    [row] = rows(bailiwick, user)
    assert (row["role"], row["through"][0]["kind"], row["through"][0]["dialect"]) == ("viewer", "direct", "huawei")


def test_a_set_that_was_wiped_is_brought_back(bailiwick, user, detached):
    add(bailiwick, user, detached, "developer", "-n", "shop")
    add(bailiwick, user, detached, "viewer", "-n", "web")
    before = [(row["place"], row["role"]) for row in rows(bailiwick, user)]
    file = bailiwick.folder / "empty.json"
    file.write_text(json.dumps({"permissions": []}), encoding="utf-8")
    wiped = bailiwick.cli("user", "set-permissions", user["name"], "--file", file)
    assert wiped == {"permissions": []} and rows(bailiwick, user) == []
    history = bailiwick.cli("grant", "history", user["name"])["items"]
    assert [len(entry["permissions"]) for entry in history] == [0, 2, 1]
    assert (len(history[0]["removed"]), history[0]["actor"]) == (2, bailiwick.root)
    assert history[0]["revision"] > history[1]["revision"]
    shown = bailiwick.do("grant", "history", user["id"])
    assert f"developer {detached['id']}/shop, viewer {detached['id']}/web" in shown
    back = bailiwick.cli("grant", "restore", user["name"], str(history[1]["revision"]))
    assert len(back["permissions"]) == 2
    assert [(row["place"], row["role"]) for row in rows(bailiwick, user)] == before
    # Without a number: as it was before the last change.
    assert bailiwick.cli("grant", "restore", user["id"]) == {"permissions": []}
    unknown = bailiwick.run("grant", "restore", user["name"], "999999999")
    assert unknown.returncode == 1 and "revision" in unknown.stderr


def test_a_grant_has_its_history_under_its_id_as_before(bailiwick, user, detached):
    place = ("--cluster", detached["name"], "-n", "shop")
    grant = bailiwick.cli("grant", "create", "--user", user["name"], "--role", "viewer", *place)["id"]
    body = {
        "role": "developer",
        "principals": {"type": "user", "ids": [user["id"]]},
        "clusters": [detached["id"]],
        "namespaces": ["shop"],
    }
    bailiwick.client().call("PUT", f"/bailiwick/v1/grants/{grant}", body)
    versions = bailiwick.cli("grant", "history", grant)["items"]
    assert [(one["generation"], one["role"]) for one in versions] == [(1, "viewer"), (2, "developer")]
    assert bailiwick.cli("grant", "restore", grant)["role"] == "viewer"
    assert bailiwick.cli("grant", "restore", grant, "2")["role"] == "developer"
    assert bailiwick.cli("grant", "restore", grant, "--generation", "1")["role"] == "viewer"
    nobody = bailiwick.run("grant", "history", unique("nobody"))
    assert nobody.returncode == 1 and "no grant" in nobody.stderr and "no user or agency" in nobody.stderr


def test_permissions_are_added_and_removed_and_wrong_use_is_told_apart(bailiwick, user, detached):
    cluster = detached["name"]
    assert len(add(bailiwick, user, detached, "viewer")["permissions"]) == 1
    # A predefined role takes the place of the other.
    [only] = add(bailiwick, user, detached, "developer")["permissions"]
    assert only == {"place": {"cluster": detached["id"], "namespace": None}, "role": "developer"}
    scope = ("--cluster", cluster, "--all-namespaces")
    gone = bailiwick.cli("user", "remove-permission", user["name"], "--role", "developer", *scope)
    assert gone == {"permissions": []}
    for arguments in (
        ("user", "add-permission", user["name"], "--role", "viewer", "--cluster", cluster),
        ("user", "add-permission", user["name"], "--role", "viewer", "--all-clusters", "-n", "shop"),
        ("user", "set-permissions", user["name"]),
        ("cluster", "import-audit-log", cluster),
    ):
        assert bailiwick.run(*arguments).returncode == 2, arguments
    for arguments in (
        ("user", "add-permission", user["name"], "--role", "king", *scope),
        ("user", "add-permission", "nobody-there", "--role", "viewer", *scope),
        ("agency", "permissions", user["name"]),
    ):
        assert bailiwick.run(*arguments).returncode == 1, arguments
    absent = bailiwick.run("user", "set-permissions", user["name"], "--file", "-", text="{}")
    assert absent.returncode == 1 and "`permissions` must be given" in absent.stderr


def test_an_agency_holds_permissions_too(bailiwick, detached):
    agency = bailiwick.cli("agency", "create", unique("agency"))
    scope = ("--cluster", detached["name"], "--all-namespaces")
    bailiwick.cli("agency", "add-permission", agency["name"], "--role", "viewer", *scope)
    held = bailiwick.cli("agency", "permissions", agency["id"])
    assert held["holder"] == {"type": "agency", "id": agency["id"], "name": agency["name"]}
    assert [row["role"] for row in held["items"]] == ["viewer"]
    bailiwick.do("agency", "clean", agency["name"], "--force")
    assert bailiwick.cli("agency", "permissions", agency["name"])["items"] == []
    assert len(bailiwick.cli("grant", "history", agency["name"])["items"]) == 2


def test_somebody_without_rights_sees_their_own_rows_and_nobody_elses(bailiwick, user, detached):
    add(bailiwick, user, detached)
    key = bailiwick.add_key(user["id"])
    for named in (user["id"], user["name"]):
        [row] = bailiwick.cli("user", "permissions", named, key=key)["items"]
        assert (row["role"], row["through"][0]["kind"]) == ("developer", "direct")
    other = bailiwick.cli("user", "create", unique("user"))
    for arguments in (
        ("user", "permissions", other["name"]),
        ("grant", "history", user["name"]),
        ("user", "clean", user["name"], "--force"),
        ("user", "add-permission", user["name"], "--role", "administrator", "--all-clusters", "--all-namespaces"),
        ("cluster", "import-audit-log", detached["id"], "/dev/null"),
    ):
        refused = bailiwick.run(*arguments, key=key)
        assert refused.returncode == 1 and "not allowed" in refused.stderr, (arguments, refused.stderr)


def event(name, at, **more):
    return json.dumps(
        {
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": "Metadata",
            "stage": "ResponseComplete",
            "user": {"username": name, "groups": ["system:authenticated"]},
            "requestReceivedTimestamp": at,
            "stageTimestamp": at,
            **more,
        }
    )


def test_whoever_leaves_loses_everything_once_logs_show_that_they_are_idle(bailiwick, user, detached):
    add(bailiwick, user, detached)
    unknown = bailiwick.run("user", "clean", user["name"])
    assert unknown.returncode == 1
    assert f"bailiwick cluster import-audit-log {detached['name']} FILE" in unknown.stderr
    recent = bailiwick.cli("audit", "list", "--limit", "1")["items"][0]["at"]
    lines = [event("system:kube-scheduler", recent), event(user["id"], recent), event("nobody-of-ours", recent)]
    done = bailiwick.cli("cluster", "import-audit-log", detached["name"], "-", text="\n".join(lines) + "\n")
    assert (done["events"], done["known"], done["unknown"], done["badLines"]) == (3, 1, 1, 0)
    active = bailiwick.run("user", "clean", user["name"])
    assert active.returncode == 1 and "was active in cluster" in active.stderr and len(rows(bailiwick, user)) == 1
    forced = bailiwick.do("user", "clean", user["name"], "--cluster", detached["name"], "--force")
    assert forced == f"{user['name']} holds nothing any more there\n" and rows(bailiwick, user) == []
    found = ("--action", "bailiwick:activity:import", "--resource", f"cluster/{detached['id']}")
    imports = bailiwick.cli("audit", "list", *found)["items"]
    # The names, and then the time that they are of.
    assert [(one["outcome"], one["actor"]) for one in imports] == [("done", bailiwick.root)] * 2


def test_a_log_that_cannot_be_read_whole_shows_nobody_to_be_idle(bailiwick, detached):
    bad = event("ada", "2026-01-01T00:00:00Z") + "\nnot json \x1b[31m\n"
    refused = bailiwick.run("cluster", "import-audit-log", detached["id"], "-", text=bad)
    assert refused.returncode == 1 and "1 of 2 lines could not be read" in refused.stderr
    assert "line 2 is no event" in refused.stderr and "\x1b" not in refused.stderr
    assert bailiwick.cli("cluster", "import-audit-log", detached["id"], "-", "--accept-bad-lines", text=bad)["badLines"] == 1
    assert bailiwick.run("cluster", "import-audit-log", detached["id"], "-", text="").returncode == 1
    assert bailiwick.run("cluster", "import-audit-log", detached["id"], "/no/such/log").returncode == 1
