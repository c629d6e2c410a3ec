"""Every operation of every dialect, and how to call each with ids that mean something.

The list is `docs/actions.md`, which is made of the server's own tables and which a test of the server keeps current. A
new operation is therefore called by the tests that walk all of them; if it takes a body or a query with ids in it,
`BODIES` and `QUERIES` say which.
"""

import json
import re
import secrets

from harness import wire
from harness.server import REPOSITORY

DOCUMENT = REPOSITORY / "docs/actions.md"


class Operation:
    """A row: dialect, method, path with `{parameters}`, and the action that it asks for, if any."""

    def __init__(self, dialect, method, path, action):
        self.dialect, self.method, self.path, self.action = dialect, method, path, action

    @property
    def name(self):
        return f"{self.method} {self.path}"

    def __repr__(self):
        return self.name


def operations():
    """All that is served, in the order of the document."""
    found, dialect = [], None
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            heading = re.fullmatch(r"## Operations(?: without an action)?: (\w+)", line)
            dialect = heading and heading[1]
        row = re.match(r"\| `([A-Z]+) (/[^`]*)` \| (?:`([^`]+)`)?", line)
        if dialect and row:
            found.append(Operation(dialect, *row.groups()))
    return found


KINDS = {
    "ClusterId": "cluster",
    "Uid": "user",
    "access_key": "key",
    "access_key_id": "key",
    "agency": "agency",
    "agency_id": "agency",
    "association": "association",
    "association_id": "association",
    "cluster": "cluster",
    "cluster_id": "cluster",
    "group": "group",
    "group_id": "group",
    "policy": "policy",
    "project_id": "project",
    "uid": "user",
    "user": "user",
    "user_id": "user",
}
"""Parameters of paths, and the kind of thing that they name."""

LITERALS = {
    "generation": "1",
    "region_id": "cn-hangzhou",
    "revision": "1",
    "serial": "0123456789abcdef",
    "service_code": "cce",
    "version": "1",
    "version_id": "v1",
}
"""Parameters that name nothing of an account; and kubeconfigs, which no cluster without an API server has."""

OF_COLLECTION = {
    "access-keys": "key",
    "access-policies": "grant",
    "grants": "grant",
    "policies": "policy",
}
"""What `{id}` and `{policy_id}` name depends on what stands before them."""


class Things(dict):
    """Ids of an account's things by their kind; remembers which kinds a request asked for."""

    def __init__(self, values):
        super().__init__(values)
        self.used = set()

    def __getitem__(self, kind):
        self.used.add(kind)
        return super().__getitem__(kind)


def make_things(client, password):
    """Makes one of each kind in the account of `client`, which signs as its root user, and answers their ids."""

    def create(path, body):
        return client.call("POST", f"/bailiwick/v1/{path}", body, status=201)["id"]

    mark = secrets.token_hex(4)
    things = {
        "user_name": f"user-{mark}",
        "group_name": f"group-{mark}",
        "agency_name": f"agency-{mark}",
        "cluster_name": f"cluster-{mark}",
        "password": password,
    }
    things["project"] = create("projects", {"name": f"project-{mark}"})
    things["enterprise_project"] = create("enterprise-projects", {"name": f"ep-{mark}"})
    things["user"] = create("users", {"name": things["user_name"], "password": password})
    things["group"] = create("groups", {"name": things["group_name"]})
    things["agency"] = create("agencies", {"name": things["agency_name"]})
    client.call("PUT", f"/bailiwick/v1/groups/{things['group']}/members/{things['user']}")
    key = client.call("POST", "/bailiwick/v1/access-keys", {"user": things["user"]}, status=201)
    things["key"], things["secret"] = key["accessKeyId"], key["secretAccessKey"]
    things["cluster"] = create(
        "clusters",
        {
            "name": things["cluster_name"],
            "project": things["project"],
            "enterpriseProject": things["enterprise_project"],
            "owner": things["user"],
        },
    )
    associations = f"clusters/{things['cluster']}/pod-identity/associations"
    association = {"namespace": "walk", "serviceAccount": "made", "agency": things["agency"]}
    things["association"] = create(associations, association)
    grant = {"role": "viewer", "clusters": [things["cluster"]], "namespaces": ["*"]}
    grant["principals"] = {"type": "user", "ids": [things["user"]]}
    things["grant"] = create("grants", grant)
    things["policy_name"] = f"policy-{mark}"
    things["policy"] = create("policies", {"name": things["policy_name"], "document": _document()})
    domain = client.call("GET", "/v3/auth/domains")["domains"][0]
    things["account"], things["account_name"] = domain["id"], domain["name"]
    things["token"] = login(client, things)
    return things


def _login_body(things):
    user = {"name": things["user_name"], "password": things["password"], "domain": {"name": things["account_name"]}}
    return {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}}


def login(client, things):
    """A token of the account's ordinary user."""
    answer = wire.send_unsigned(client.base, "POST", "/v3/auth/tokens", _login_body(things))
    assert answer.status == 201, answer
    return answer.headers["X-Subject-Token"]


def _access_policy(things):
    return {
        "name": "walk",
        "clusters": [things["cluster"]],
        "accessScope": {"namespaces": ["*"]},
        "policyType": "CCEViewPolicy",
        "principal": {"type": "user", "ids": [things["user"]]},
    }


def _association(field, kind):
    """One of a service account that has none yet; `field` names the agency."""
    return lambda things: {
        "namespace": "walk",
        "serviceAccount": f"walk-{secrets.token_hex(4)}",
        field: things[kind],
    }


def _rows(things):
    """Rights of one user, as the second vendor's clients send them."""
    return [{"cluster": things["cluster"], "role_type": "cluster", "role_name": "restricted"}]


def _grant(kind):
    return lambda things: {
        "role": "viewer",
        "clusters": [things["cluster"]],
        "namespaces": ["*"],
        "principals": {"type": kind, "ids": [things[kind]]},
    }


def _permissions(**more):
    def body(things):
        place = {"cluster": things["cluster"], "namespace": None}
        return {**more, "permissions": [{"place": place, "role": "viewer"}]}

    return body


def _named(**fields):
    """A body with a new name, and `fields` that take the id of a thing."""
    return lambda things: {
        "name": f"walk-{secrets.token_hex(4)}",
        **{field: things[kind] for field, kind in fields.items()},
    }


def _wrapped(noun, **fields):
    """As the vendor's v3 wraps it, with a new name; `fields` take the ids of things."""
    return lambda things: {noun: _named(**fields)(things)}


def _changed(noun=None, **fields):
    """A change of what nothing depends on."""
    body = fields or {"description": "changed"}
    return lambda _: {noun: body} if noun else body


def _own_password(things):
    return {"original_password": things["password"], "password": f"{things['password']}x"}


def _assume(things):
    role = {"agency_name": things["agency_name"], "domain_id": things["account"], "duration_seconds": 900}
    return {"auth": {"identity": {"methods": ["assume_role"], "assume_role": role}}}


def _trust(things):
    # Whom an agency trusts is a name and not a thing that is looked up: `get` does not count as naming it.
    trusted = things.get("account")
    statement = {"Effect": "Allow", "Action": ["sts:agencies:assume"], "Principal": {"IAM": [trusted]}}
    return json.dumps({"Version": "5.0", "Statement": [statement]})


def _named_v5(field, **fixed):
    return lambda _: {field: f"walk-{secrets.token_hex(4)}", **fixed}


def _document():
    statement = {"Effect": "Allow", "Action": ["cce:accessPolicy:list"], "Resource": ["*"]}
    return {"Version": "5.0", "Statement": [statement]}


def _holder(kind):
    return lambda things: {f"{kind}_id": things[kind]}


NATIVE = "/bailiwick/v1"

MULTI_CLOUD = "/v5/{project_id}/container/kubernetes/multi-cloud"
CLUSTER_OF_PROJECT = "/api/v3/projects/{project_id}/clusters/{cluster_id}"

AGENCIES, CREDENTIALS, USERS = "/v3.0/OS-AGENCY/agencies", "/v3.0/OS-CREDENTIAL/credentials", "/v3.0/OS-USER/users"

BODIES = {
    "POST /v5/policies": [
        lambda _: {"policy_name": f"walk-{secrets.token_hex(4)}", "policy_document": json.dumps(_document())}
    ],
    "PUT /v5/policies/{policy_id}": [lambda _: {"description": "walked"}],
    "POST /v5/policies/{policy_id}/versions": [lambda _: {"policy_document": json.dumps(_document())}],
    "POST /v5/policies/{policy_id}/attach-user": [_holder("user")],
    "POST /v5/policies/{policy_id}/attach-group": [_holder("group")],
    "POST /v5/policies/{policy_id}/attach-agency": [_holder("agency")],
    "POST /v5/policies/{policy_id}/detach-user": [_holder("user")],
    "POST /v5/policies/{policy_id}/detach-group": [_holder("group")],
    "POST /v5/policies/{policy_id}/detach-agency": [_holder("agency")],
    f"POST {MULTI_CLOUD}/clusters": [lambda _: {"kube_config": "x", "name": f"walk-{secrets.token_hex(4)}"}],
    f"PUT {MULTI_CLOUD}/clusters/{{cluster_id}}": [lambda _: {"current_expiration_date": 1814080859608}],
    f"POST {MULTI_CLOUD}/clusters/status-synchronize": [lambda things: {"data_list": [{"cluster_id": things["cluster"]}]}],
    f"POST {MULTI_CLOUD}/config-analyze": [lambda _: {"kube_config": "x"}],
    f"POST {NATIVE}/policies": [lambda _: {"name": f"walk-{secrets.token_hex(4)}", "document": _document()}],
    f"PATCH {NATIVE}/policies/{{policy}}": [lambda _: {"description": "walked"}],
    f"POST {NATIVE}/policies/{{policy}}/versions": [lambda _: {"document": _document()}],
    f"POST {NATIVE}/authorize": [
        lambda things: {
            "principal": {"type": "agency", "id": things["agency"]},
            "action": "cce:accessPolicy:list",
        }
    ],
    "POST /api/v3/access-policies": [_access_policy],
    "PUT /api/v3/access-policies/{policy_id}": [_access_policy],
    f"POST {CLUSTER_OF_PROJECT}/assume-agency-for-pod-identity": [lambda _: {"token": "a.b.c"}],
    f"POST {NATIVE}/clusters/{{cluster}}/pod-identity/credentials": [lambda _: {"tokens": ["a.b.c"]}],
    f"POST {NATIVE}/clusters/{{cluster}}/pod-identity/test": [lambda _: {"namespace": "n", "serviceAccount": "s"}],
    f"POST {CLUSTER_OF_PROJECT}/clustercert": [lambda _: {"duration": 1}],
    f"POST {CLUSTER_OF_PROJECT}/clustercertrevoke": [
        lambda things: {"userId": things["user"]},
        lambda things: {"agencyId": things["agency"]},
    ],
    f"POST {CLUSTER_OF_PROJECT}/pod-identity-associations": [_association("agencyName", "agency_name")],
    f"PUT {CLUSTER_OF_PROJECT}/pod-identity-associations/{{association_id}}": [
        lambda things: {"agencyName": things["agency_name"]}
    ],
    f"POST {NATIVE}/clusters/{{cluster}}/pod-identity/associations": [
        _association("agency", "agency_name"),
        _association("agency", "agency"),
    ],
    f"PATCH {NATIVE}/clusters/{{cluster}}/pod-identity/associations/{{association}}": [
        lambda things: {"agency": things["agency"]}
    ],
    "POST /permissions/users/{uid}": [_rows],
    "POST /permissions/users/{uid}/update": [_rows],
    "POST /k8s/{ClusterId}/user_config/expire": [lambda things: {"expire_hour": 720, "user": things["user"]}],
    "POST /v3/auth/tokens": [_login_body],
    "POST /v3/groups": [_wrapped("group"), _wrapped("group", domain_id="account")],
    "PATCH /v3/groups/{group_id}": [_changed("group")],
    "POST /v3/users": [_wrapped("user"), _wrapped("user", domain_id="account")],
    "PATCH /v3/users/{user_id}": [_changed("user")],
    "POST /v3/users/{user_id}/password": [lambda things: {"user": _own_password(things)}],
    f"POST {USERS}": [_wrapped("user", domain_id="account")],
    f"PUT {USERS}/{{user_id}}": [_changed("user")],
    f"POST {AGENCIES}": [_wrapped("agency", domain_id="account", trust_domain_id="account")],
    f"PUT {AGENCIES}/{{agency_id}}": [_changed("agency")],
    f"POST {CREDENTIALS}": [lambda things: {"credential": {"user_id": things["user"]}}],
    f"PUT {CREDENTIALS}/{{access_key}}": [_changed("credential", status="active")],
    "POST /v3.0/OS-CREDENTIAL/securitytokens": [_assume],
    "POST /v5/agencies": [lambda things: {"agency_name": f"walk-{secrets.token_hex(4)}", "trust_policy": _trust(things)}],
    "PUT /v5/agencies/{agency_id}": [_changed()],
    "PUT /v5/agencies/{agency_id}/trust-policy": [lambda things: {"trust_policy": _trust(things)}],
    "POST /v5/agencies/assume": [
        lambda things: {
            "agency_urn": f"iam::{things['account']}:agency:{things['agency_name']}",
            "agency_session_name": "walk",
        }
    ],
    "POST /v5/caller-password": [
        lambda things: {"old_password": things["password"], "new_password": f"{things['password']}x"}
    ],
    "POST /v5/decode-authorization-message": [lambda _: {"encoded_message": "x"}],
    "POST /v5/groups": [_named_v5("group_name")],
    "PUT /v5/groups/{group_id}": [_changed()],
    "POST /v5/groups/{group_id}/add-user": [lambda things: {"user_id": things["user"]}],
    "POST /v5/groups/{group_id}/remove-user": [lambda things: {"user_id": things["user"]}],
    "POST /v5/users": [_named_v5("name", enabled=True)],
    "PUT /v5/users/{user_id}": [_changed()],
    "POST /v5/users/{user_id}/access-keys": [lambda _: {}],
    "PUT /v5/users/{user_id}/access-keys/{access_key_id}": [_changed(status="active")],
    "POST /v5/users/{user_id}/login-profile": [lambda things: {"password": things["password"]}],
    "PUT /v5/users/{user_id}/login-profile": [lambda things: {"password": things["password"]}],
    f"PATCH {NATIVE}/agencies/{{agency}}": [_changed()],
    f"PATCH {NATIVE}/groups/{{group}}": [_changed()],
    f"PATCH {NATIVE}/users/{{user}}": [_changed()],
    f"PUT {NATIVE}/agencies/{{agency}}/permissions": [_permissions()],
    f"POST {NATIVE}/agencies/{{agency}}/permissions": [_permissions(change="add"), _permissions(change="remove")],
    f"PUT {NATIVE}/users/{{user}}/permissions": [_permissions()],
    f"POST {NATIVE}/users/{{user}}/permissions": [_permissions(change="add"), _permissions(change="remove")],
    f"POST {NATIVE}/clusters/{{cluster}}/activity": [lambda _: {"users": []}],
    f"POST {NATIVE}/clusters/{{cluster}}/check": [lambda _: {}],
    f"POST {NATIVE}/access-keys": [lambda things: {"user": things["user"]}],
    f"PATCH {NATIVE}/access-keys/{{id}}": [lambda _: {"enabled": True}],
    f"POST {NATIVE}/agencies": [_named()],
    f"POST {NATIVE}/clusters": [_named(project="project", enterpriseProject="enterprise_project", owner="user")],
    f"PATCH {NATIVE}/clusters/{{cluster}}": [lambda things: {"owner": things["user"]}],
    f"POST {NATIVE}/clusters/{{cluster}}/kubeconfigs": [
        lambda _: {},
        lambda things: {"holder": things["user"]},
        lambda things: {"holder": things["agency"]},
    ],
    f"PUT {NATIVE}/clusters/{{cluster}}/connection": [lambda _: {"kubeconfig": "x"}],
    f"POST {NATIVE}/enterprise-projects": [_named()],
    f"POST {NATIVE}/grants": [_grant("user"), _grant("group"), _grant("agency")],
    f"PUT {NATIVE}/grants/{{id}}": [_grant("user"), _grant("group"), _grant("agency")],
    f"POST {NATIVE}/groups": [_named()],
    f"POST {NATIVE}/projects": [_named()],
    f"POST {NATIVE}/revocations": [
        *(lambda things, kind=kind: {"principal": things[kind], "keepEnabled": True} for kind in ("user", "agency")),
        lambda things: {"accessKey": things["key"]},
        lambda things: {"token": things["token"]},
    ],
    f"POST {NATIVE}/users": [_named()],
    f"POST {NATIVE}/users/{{user}}/password": [
        lambda things: {"oldPassword": things["password"], "password": f"{things['password']}x"}
    ],
    f"PUT {NATIVE}/users/{{user}}/password": [lambda things: {"password": things["password"]}],
}
"""Bodies that the operation accepts, so that rights and ids decide and not the form."""

QUERIES = {
    f"PUT {NATIVE}/policies/{{policy}}/users/{{user}}": [
        ("project", "project"),
        ("enterpriseProject", "enterprise_project"),
    ],
    "GET /api/v3/access-policies": [("cluster_id", "cluster")],
    f"GET {MULTI_CLOUD}/clusters": [("cluster_id", "cluster"), ("enterprise_project_id", "enterprise_project")],
    "DELETE /users/{Uid}/permissions": [("ClusterIds", "cluster"), ("ClusterIds.1", "cluster")],
    "GET /api/v1/clusters": [("cluster_id", "cluster"), ("name", "cluster_name")],
    "GET /clusters": [("name", "cluster_name"), ("resource_group_id", "enterprise_project")],
    "GET /regions/{region_id}/clusters": [("cluster_id", "cluster"), ("name", "cluster_name")],
    "GET /v3/groups": [("domain_id", "account")],
    "GET /v3/projects": [("domain_id", "account"), ("parent_id", "account")],
    "GET /v3/users": [("domain_id", "account")],
    f"GET {AGENCIES}": [("domain_id", "account"), ("trust_domain_id", "account")],
    f"GET {CREDENTIALS}": [("user_id", "user")],
    f"GET {NATIVE}/access-keys": [("user", "user"), ("user", "user_name")],
    f"GET {NATIVE}/audit-events": [("actor", "user"), ("actor", "user_name")],
    f"GET {NATIVE}/kubeconfigs": [("cluster", "cluster"), ("holder", "user"), ("holder", "agency")],
    f"DELETE {NATIVE}/users/{{user}}/permissions": [("cluster", "cluster"), ("cluster", "cluster_name")],
    f"DELETE {NATIVE}/agencies/{{agency}}/permissions": [("cluster", "cluster"), ("cluster", "cluster_name")],
    f"GET {NATIVE}/grants": [
        ("cluster", "cluster"),
        ("cluster", "cluster_name"),
        ("principal", "user"),
        ("principal", "group"),
        ("principal", "agency"),
        ("principal", "user_name"),
    ],
}
"""Query parameters that name a thing, and its kind."""

SUBJECT = "X-Subject-Token"


class Request:
    """One way to call an operation: target, body and headers, filled with ids of `things`, of those kinds in `used`."""

    def __init__(self, operation, things, body=None, query=None):
        things = Things(things)
        self.used = things.used
        self.method = operation.method
        self.target = _target(operation, things)
        if query:
            self.target += f"?{query[0]}={things[query[1]]}"
        self.body = body(things) if body else None
        self.extra = []
        if operation.path == "/v3/auth/tokens" and operation.method != "POST":
            self.extra.append((SUBJECT, things["token"]))
        if operation.path == "/metrics":
            # Who is on the server's own machine needs no credential for it; who comes through a proxy is not.
            self.extra.append(("X-Forwarded-For", "192.0.2.1"))


def _target(operation, things):
    segments, before = [], ""
    for segment in operation.path.split("/"):
        parameter = segment.strip("{}")
        if segment == parameter:
            segments.append(segment)
        else:
            segments.append(LITERALS.get(parameter) or things[_kind(parameter, before)])
        before = segment
    return "/".join(segments)


def _kind(parameter, before):
    kind = KINDS.get(parameter) or OF_COLLECTION.get(before)
    assert kind, f"what does {{{parameter}}} after {before} name? Say so in {__file__}"
    return kind


def requests(operation, things):
    """Every way to call an operation that the tables above know, at least one."""
    bodies = BODIES.get(operation.name, [None])
    found = [Request(operation, things, body) for body in bodies]
    return found + [Request(operation, things, query=query) for query in QUERIES.get(operation.name, [])]
