"""The second vendor's four official clients, unmodified, behind one interface: the present Python SDK, synchronous and
asynchronous, the present Node SDK, and the older Python core.

Fields are given, and answers come, under the names that they have on the wire. What a client cannot send, because its
classes do not know the field, is not sent.
"""

import abc
import asyncio
import importlib
import importlib.util
import json
import re
import secrets
import subprocess
import urllib.parse

from alibabacloud_cs20151215 import models
from alibabacloud_tea_openapi.exceptions import AlibabaCloudException
from aliyunsdkcore.acs_exception.exceptions import ServerException
from aliyunsdkcore.auth.credentials import StsTokenCredential
from aliyunsdkcore.client import AcsClient
from aliyunsdkcore.request import CommonRequest

from harness import alibaba_sdk
from harness.process import clean_environment, die_with_parent
from harness.server import REPOSITORY


def granted(place, role, **fields):
    """A right as it is granted: `place` is a cluster's id, (cluster's id, namespace), or `None` for all clusters."""
    row = {"role_name": role, **fields}
    if place is None:
        return {"cluster": "", "role_type": "all-clusters", **row}
    if isinstance(place, tuple):
        return {"cluster": place[0], "namespace": place[1], "role_type": "namespace", **row}
    return {"cluster": place, "role_type": "cluster", **row}


def shown(place, role, custom=False, owner=0, ram_role=0):
    """The same as it is described."""
    row = {"role_name": role, "role_type": "custom" if custom else role, "is_owner": owner, "is_ram_role": ram_role}
    if place is None:
        return {"resource_id": "all-clusters", "resource_type": "console", **row}
    if isinstance(place, tuple):
        return {"resource_id": "/".join(place), "resource_type": "namespace", **row}
    return {"resource_id": place, "resource_type": "cluster", **row}


class Answer:
    """A success: status, headers under lower-case names, and the body as the client shows it."""

    def __init__(self, status, headers, body=None):
        self.status, self.body = status, body
        self.headers = {name.lower(): value for name, value in headers.items()}

    def __repr__(self):
        return f"<{self.status} {self.body!r}>"


class Refused(Exception):
    """A failure, as the client shows it. `detail` says who was denied what; the older client does not know it."""

    def __init__(self, status, code, message, request_id, detail=None):
        # The present clients put their own words around what the server said.
        words = re.fullmatch(r"(?:[\w.]+: )?code: \d+, (.*) request id: \S+", message or "", re.DOTALL)
        self.message = words[1] if words else message
        super().__init__(f"{status} {code}: {self.message}")
        self.status, self.code, self.request_id, self.detail = status, code, request_id, detail


class Operation:
    """How the clients call one operation, and how it looks on the wire."""

    def __init__(self, name, method, path, python, takes_fields):
        self.name, self.method, self.path, self.python = name, method, path, python
        self.node = name[0].lower() + name[1:]
        self.request = f"{name}Request" if takes_fields else None


_ROWS = """
DescribeUserPermission                GET    /permissions/users/{uid}                              describe_user_permission
GrantPermissions                      POST   /permissions/users/{uid}                              grant_permissions *
UpdateUserPermissions                 POST   /permissions/users/{uid}/update                       update_user_permissions *
CleanUserPermissions                  DELETE /users/{Uid}/permissions                              clean_user_permissions *
CleanClusterUserPermissions           DELETE /cluster/{ClusterId}/user/{Uid}/permissions           clean_cluster_user_permissions *
DescribeClusterUserKubeconfig         GET    /k8s/{ClusterId}/user_config                          describe_cluster_user_kubeconfig *
DescribeClusterV2UserKubeconfig       GET    /api/v2/k8s/{ClusterId}/user_config                   describe_cluster_v2user_kubeconfig *
DescribeSubaccountK8sClusterUserConfig GET   /k8s/{ClusterId}/users/{Uid}/user_config              describe_subaccount_k8s_cluster_user_config *
ListUserKubeConfigStates              GET    /users/{Uid}/kubeconfig/states                        list_user_kube_config_states *
ListClusterKubeconfigStates           GET    /clusters/{ClusterId}/kubeconfig/states               list_cluster_kubeconfig_states *
RevokeK8sClusterKubeConfig            DELETE /k8s/{ClusterId}/certs                                revoke_k8s_cluster_kube_config
UpdateK8sClusterUserConfigExpire      POST   /k8s/{ClusterId}/user_config/expire                   update_k8s_cluster_user_config_expire *
DescribeUserClusterNamespaces         GET    /api/v2/k8s/{ClusterId}/namespaces                    describe_user_cluster_namespaces
DescribeClusters                      GET    /clusters                                             describe_clusters *
DescribeClustersV1                    GET    /api/v1/clusters                                      describe_clusters_v1 *
DescribeClustersForRegion             GET    /regions/{region_id}/clusters                         describe_clusters_for_region *
DescribeClusterDetail                 GET    /clusters/{ClusterId}                                 describe_cluster_detail
"""

OPERATIONS = {}
for _row in _ROWS.strip().splitlines():
    _words = _row.split()
    OPERATIONS[_words[0]] = Operation(*_words[:4], takes_fields=_words[4:] == ["*"])


class AckClient(abc.ABC):
    """One method for each operation. Answers `Answer` or raises `Refused`."""

    def __init__(self, base, key, token=None):
        self.base, self.key, self.token = base, key, token
        self.endpoint = urllib.parse.urlsplit(base).netloc

    @abc.abstractmethod
    def call(self, operation, path, fields):
        """Calls an operation with the values of its path, in order, and those fields that are not `None`."""

    def _call(self, operation, /, *path, **fields):
        return self.call(OPERATIONS[operation], path, {field: value for field, value in fields.items() if value is not None})

    def describe_user_permission(self, uid):
        return self._call("DescribeUserPermission", uid)

    def grant_permissions(self, uid, rows):
        """`rows` is `None` for a request whose body is left unset."""
        return self._call("GrantPermissions", uid, body=rows)

    def update_user_permissions(self, uid, rows, mode=None):
        return self._call("UpdateUserPermissions", uid, body=rows, mode=mode)

    def clean_user_permissions(self, uid, clusters=None, force=None):
        return self._call("CleanUserPermissions", uid, ClusterIds=clusters, Force=force)

    def clean_cluster_user_permissions(self, cluster, uid, force=None):
        return self._call("CleanClusterUserPermissions", cluster, uid, Force=force)

    def describe_cluster_user_kubeconfig(self, cluster, private=None, minutes=None):
        return self._kubeconfig("DescribeClusterUserKubeconfig", [cluster], private, minutes)

    def describe_cluster_v2_user_kubeconfig(self, cluster, private=None, minutes=None):
        return self._kubeconfig("DescribeClusterV2UserKubeconfig", [cluster], private, minutes)

    def describe_subaccount_k8s_cluster_user_config(self, cluster, uid, private=None, minutes=None):
        return self._kubeconfig("DescribeSubaccountK8sClusterUserConfig", [cluster, uid], private, minutes)

    def _kubeconfig(self, name, path, private, minutes):
        return self._call(name, *path, PrivateIpAddress=private, TemporaryDurationMinutes=minutes)

    def list_user_kube_config_states(self, uid, number=None, size=None):
        return self._call("ListUserKubeConfigStates", uid, page_number=number, page_size=size)

    def list_cluster_kubeconfig_states(self, cluster, number=None, size=None, of_services=None):
        fields = {"pageNumber": number, "pageSize": size, "cloudServiceKubeConfig": of_services}
        return self._call("ListClusterKubeconfigStates", cluster, **fields)

    def revoke_k8s_cluster_kube_config(self, cluster):
        return self._call("RevokeK8sClusterKubeConfig", cluster)

    def update_k8s_cluster_user_config_expire(self, cluster, uid, hours):
        return self._call("UpdateK8sClusterUserConfigExpire", cluster, user=uid, expire_hour=hours)

    def describe_user_cluster_namespaces(self, cluster):
        return self._call("DescribeUserClusterNamespaces", cluster)

    def describe_clusters(self, **fields):
        return self._call("DescribeClusters", **fields)

    def describe_clusters_v1(self, **fields):
        return self._call("DescribeClustersV1", **fields)

    def describe_clusters_for_region(self, region, **fields):
        return self._call("DescribeClustersForRegion", region, **fields)

    def describe_cluster_detail(self, cluster):
        return self._call("DescribeClusterDetail", cluster)


def _of_python(answer):
    known = answer.to_map()
    return Answer(known["statusCode"], known["headers"], known.get("body"))


def _refused_by_python(error):
    return Refused(error.status_code, error.code, error.message, error.request_id, error.access_denied_detail)


class SyncClient(AckClient):
    """`alibabacloud-cs20151215`."""

    def __init__(self, base, key, token=None):
        super().__init__(base, key, token)
        self.client = alibaba_sdk.clusters_client(base, key, **({"security_token": token} if token else {}))

    def invoke(self, method, values):
        return getattr(self.client, method)(*values)

    def call(self, operation, path, fields):
        values = list(path)
        if operation.request:
            values.append(getattr(models, operation.request)().from_map(fields))
        try:
            return _of_python(self.invoke(operation.python, values))
        except AlibabaCloudException as error:
            raise _refused_by_python(error) from None


class AsyncClient(SyncClient):
    """The same package's asynchronous methods, which send other headers by another HTTP library."""

    def invoke(self, method, values):
        return asyncio.run(getattr(self.client, f"{method}_async")(*values))


class Driver:
    """`driver.js`, running until it is stopped."""

    def __init__(self):
        modules = subprocess.run(
            [REPOSITORY / "scripts/node-modules"], stdout=subprocess.PIPE, text=True, check=True
        ).stdout
        self.popen = subprocess.Popen(
            ["node", REPOSITORY / "e2e/node/driver.js"],
            env=clean_environment(NODE_PATH=modules.strip()),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            preexec_fn=die_with_parent,
        )

    def ask(self, order):
        self.popen.stdin.write(f"{json.dumps(order)}\n")
        self.popen.stdin.flush()
        return json.loads(self.popen.stdout.readline())

    def stop(self):
        self.popen.stdin.close()
        self.popen.wait(10)


class NodeClient(AckClient):
    """`@alicloud/cs20151215`."""

    driver = None
    """The process that all of them share; the first of a run starts it."""

    @classmethod
    def stop(cls):
        if cls.driver:
            cls.driver.stop()
            cls.driver = None

    def call(self, operation, path, fields):
        NodeClient.driver = NodeClient.driver or Driver()
        key_id, secret = self.key
        order = {"endpoint": self.endpoint, "key": key_id, "secret": secret, "token": self.token}
        order |= {"method": operation.node, "request": operation.request, "path": path, "fields": fields}
        answer = self.driver.ask(order)
        if "error" not in answer:
            return Answer(answer["status"], answer["headers"], answer.get("body"))
        error = answer["error"]
        assert error.get("status"), f"{operation.name}: the client could not read the answer: {error}"
        raise Refused(*(error.get(name) for name in ("status", "code", "message", "request_id", "detail")))


class _Noting(AcsClient):
    """The older core, which shows its callers the body alone, remembering what came with it."""

    answer = None

    def _implementation_of_do_action(self, *arguments, **options):
        self.answer = super()._implementation_of_do_action(*arguments, **options)
        return self.answer


class OldClient(AckClient):
    """`aliyun-python-sdk-core`: with `aliyun-python-sdk-cs`'s request where that has one, else a common request."""

    def __init__(self, base, key, token=None):
        super().__init__(base, key, token)
        credential = StsTokenCredential(*key, token) if token else None
        self.client = _Noting(*(() if token else key), region_id="cn-hangzhou", credential=credential)

    def request(self, operation, path):
        names = re.findall("{(.*?)}", operation.path)
        typed = f"aliyunsdkcs.request.v20151215.{operation.name}Request"
        if importlib.util.find_spec(typed):
            request = getattr(importlib.import_module(typed), f"{operation.name}Request")()
            for name, value in zip(names, path):
                getattr(request, f"set_{name}")(value)
            request.set_endpoint(self.endpoint)
        else:
            target = operation.path.format(**{name: urllib.parse.quote(value, "") for name, value in zip(names, path)})
            request = CommonRequest(self.endpoint, "2015-12-15", operation.name, target)
            request.set_method(operation.method)
        request.set_protocol_type("http")
        return request

    def call(self, operation, path, fields):
        request = self.request(operation, path)
        # Its dates are of whole seconds and it sends nothing else that differs: two equal changes within a second
        # would be one request sent twice.
        request.add_header("x-acs-signature-nonce", secrets.token_hex(16))
        body = _body_of(operation, fields)
        for name, value in fields.items():
            if operation.method != "POST" or name == "mode":
                request.add_query_param(name, ",".join(value) if isinstance(value, list) else value)
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.set_content(json.dumps(body, ensure_ascii=False).encode())
        try:
            text = self.client.do_action_with_exception(request)
        except ServerException as error:
            found = (error.get_http_status(), error.get_error_code(), error.get_error_msg(), error.get_request_id())
            raise Refused(*found) from None
        status, headers, _, _ = self.client.answer
        return Answer(status, headers, json.loads(text) if text else None)


def _body_of(operation, fields):
    if operation.method != "POST":
        return None
    if "Permissions" in operation.name:
        return fields.get("body")
    return fields


CLIENTS = {"python": SyncClient, "python-async": AsyncClient, "node": NodeClient, "old-python": OldClient}
