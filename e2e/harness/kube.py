"""A bare Kubernetes client over one kept-open connection, and the questions that the tests ask a cluster."""

import http.client
import json
import socket
import threading
import time
import urllib.parse

RBAC = "/apis/rbac.authorization.k8s.io/v1"
MANAGED = "app.kubernetes.io/managed-by=bailiwick"


class KubeError(Exception):
    """The API server refused; carries its status code and its message."""

    def __init__(self, status, body):
        super().__init__(f"{status}: {body[:500]!r}")
        self.status = status


class Kube:
    """One connection, one thread. Opens again by itself when an idle connection was closed."""

    def __init__(self, port, context, token=None):
        self.port, self.context = port, context
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.connection = self._connect()

    def _connect(self):
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=10, context=self.context)

    def request(self, method, path, body=None, content_type="application/json", headers=None):
        """Sends one request. Answers (status, body)."""
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        sent = {"Content-Type": content_type, **self.headers, **(headers or {})}
        for attempt in (1, 2):
            try:
                self.connection.request(method, path, data, sent)
                answer = self.connection.getresponse()
                return answer.status, answer.read()
            except (http.client.HTTPException, OSError):
                self.connection.close()
                self.connection = self._connect()
                if attempt == 2:
                    raise

    def _json(self, method, path, *arguments, **options):
        status, body = self.request(method, path, *arguments, **options)
        if status >= 400:
            raise KubeError(status, body)
        return json.loads(body)

    def get(self, path, raw=False):
        status, body = self.request("GET", path)
        if status >= 400:
            raise KubeError(status, body)
        return body if raw else json.loads(body)

    def create(self, path, body):
        return self._json("POST", path, body)

    def merge(self, path, body):
        """A merge patch, as `kubectl edit` sends."""
        return self._json("PATCH", path, body, content_type="application/merge-patch+json")

    def apply(self, path, body, manager="e2e"):
        """Server-side apply."""
        query = urllib.parse.urlencode({"fieldManager": manager, "force": "true"})
        return self._json("PATCH", f"{path}?{query}", body, content_type="application/apply-patch+yaml")

    def delete(self, path):
        """Deletes; what is not there is deleted already."""
        status, body = self.request("DELETE", path)
        if status >= 400 and status != 404:
            raise KubeError(status, body)

    # --- namespaces -------------------------------------------------------------------------------------------

    def create_namespace(self, name):
        self.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        return name

    # --- reviews ----------------------------------------------------------------------------------------------

    def allowed(self, user, verb, resource, namespace="", group="", subresource="", groups=()):
        """Asks the cluster by SubjectAccessReview. `namespace=""` asks about all of them."""
        attributes = {"verb": verb, "resource": resource, "namespace": namespace, "group": group}
        if subresource:
            attributes["subresource"] = subresource
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": user, "groups": list(groups), "resourceAttributes": attributes},
        }
        return self.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)["status"]["allowed"]

    def until_allowed(self, user, verb, resource, namespace="", timeout=10, **options):
        """Asks again and again. Answers the moment of the first yes."""
        return self._until_answer(True, timeout, user, verb, resource, namespace, **options)

    def until_refused(self, user, verb, resource, namespace="", timeout=10, **options):
        """Asks again and again. Answers the moment of the first no."""
        return self._until_answer(False, timeout, user, verb, resource, namespace, **options)

    def _until_answer(self, wanted, timeout, user, verb, resource, namespace, **options):
        deadline = time.monotonic() + timeout
        while self.allowed(user, verb, resource, namespace, **options) is not wanted:
            if time.monotonic() > deadline:
                word = "yes" if wanted else "no"
                raise AssertionError(
                    f"no {word} within {timeout} s: may {user} {verb} {resource} in {namespace or '*'}?"
                )
            time.sleep(0.0005)
        return time.monotonic()

    # --- bindings ---------------------------------------------------------------------------------------------

    def bindings(self, selector=None):
        """All RoleBindings and ClusterRoleBindings, or those of a label selector."""
        query = f"?labelSelector={urllib.parse.quote(selector)}" if selector else ""
        found = []
        for kind, plural in (("RoleBinding", "rolebindings"), ("ClusterRoleBinding", "clusterrolebindings")):
            for item in self.get(f"{RBAC}/{plural}{query}")["items"]:
                found.append({**item, "kind": kind, "apiVersion": "rbac.authorization.k8s.io/v1"})
        return found

    def bindings_naming(self, principal):
        """The bindings that have `principal` among their subjects, whoever made them."""
        return [binding for binding in self.bindings() if principal in subjects(binding)]


def subjects(binding):
    return [subject["name"] for subject in binding.get("subjects") or []]


def uid(thing):
    return thing["metadata"]["uid"]


def path_of(binding):
    """Where a binding lives."""
    meta = binding["metadata"]
    if binding["kind"] == "ClusterRoleBinding":
        return f"{RBAC}/clusterrolebindings/{meta['name']}"
    return f"{RBAC}/namespaces/{meta['namespace']}/rolebindings/{meta['name']}"


def role_binding(name, namespace, role, user, labels=None):
    """A RoleBinding as somebody else would write it."""
    return {**_binding(name, role, user, labels, namespace), "kind": "RoleBinding"}


def cluster_role_binding(name, role, user, labels=None):
    """A ClusterRoleBinding as somebody else would write it."""
    return {**_binding(name, role, user, labels), "kind": "ClusterRoleBinding"}


def _binding(name, role, user, labels, namespace=None):
    meta = {"name": name, "labels": labels or {}}
    if namespace:
        meta["namespace"] = namespace
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "metadata": meta,
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    }


class BindingWatch:
    """Records every change of every binding, from `start` to `stop`, in the order in which it happened.

    The two kinds are two streams; both resource versions are etcd's one counter, so sorting by it gives the order.
    """

    def __init__(self, server):
        self.server = server
        self.before = []
        self._events, self._threads, self._connections = [], [], []

    def __enter__(self):
        for kind, plural in (("RoleBinding", "rolebindings"), ("ClusterRoleBinding", "clusterrolebindings")):
            listed = self.server.client().get(f"{RBAC}/{plural}")
            self.before += [{**item, "kind": kind} for item in listed["items"]]
            version = listed["metadata"]["resourceVersion"]
            client = self.server.client()
            client.connection.timeout = 60
            client.connection.request("GET", f"{RBAC}/{plural}?watch=1&resourceVersion={version}")
            answer = client.connection.getresponse()
            assert answer.status == 200, answer.read()
            self._connections.append(client.connection)
            thread = threading.Thread(target=self._read, args=(kind, answer), daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def _read(self, kind, answer):
        try:
            for line in answer:
                event = json.loads(line)
                self._events.append((event["type"], {**event["object"], "kind": kind}))
        except (OSError, ValueError, AttributeError, http.client.HTTPException):
            return  # the connection was shut by __exit__

    def wait_for(self, mark, timeout=10):
        """Returns when both streams have shown the binding `mark`: everything before it has then been seen."""
        deadline = time.monotonic() + timeout
        wanted = {("RoleBinding", mark), ("ClusterRoleBinding", mark)}
        while not wanted <= {(thing["kind"], thing["metadata"]["name"]) for _, thing in list(self._events)}:
            assert time.monotonic() < deadline, f"the watch did not show {mark}"
            time.sleep(0.01)

    def __exit__(self, *_):
        for connection in self._connections:
            connection.sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    def states(self):
        """The set of bindings after each event: a list of (description, {(kind, namespace, name): binding})."""
        current = {_key(binding): binding for binding in self.before}
        yield "before", dict(current)
        for kind, thing in sorted(self._events, key=lambda event: int(event[1]["metadata"]["resourceVersion"])):
            if kind == "DELETED":
                current.pop(_key(thing), None)
            else:
                current[_key(thing)] = thing
            yield f"{kind} {_key(thing)}", dict(current)


def _key(binding):
    meta = binding["metadata"]
    return binding["kind"], meta.get("namespace", ""), meta["name"]
