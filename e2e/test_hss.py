"""Clusters that the vendor does not run, by the vendor's own SDK: imported, asked, given other kubeconfigs, removed."""

import base64
import json
import pathlib
import secrets
import shlex
import subprocess
import threading
import time
import urllib.request

import huaweicloudsdkhss.v5 as hss
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException

from harness import hostile
from harness.process import clean_environment, until
from harness.sdk import Unique, hss_client
from harness.server import Server
from test_cluster_check import ALL, ROWS, Checked, allowed, kubectl, rights
from test_cluster_life import another_admin, applied, grant_to, until_identified

LATER = 1814080859608
"""An instant in the year 2027, in milliseconds."""


class Clusters:
    """The operations, each one SDK call."""

    def __init__(self, server, key=None):
        key_id, secret = key or (server.key_id, server.secret)
        self.sdk = Unique(hss_client(server.base, key_id, secret, server.project))

    def create(self, kubeconfig, project=None, **fields):
        body = hss.MultiCloudClusterCreateRequestBody(kube_config=kubeconfig, **fields)
        request = hss.CreateMultiCloudClustersRequest(enterprise_project_id=project, body=body)
        return self.sdk.create_multi_cloud_clusters(request).cluster_id

    def list(self, **query):
        return self.sdk.list_multi_cloud_clusters(hss.ListMultiCloudClustersRequest(**query))

    def one(self, cluster):
        [found] = self.list(cluster_id=cluster, enterprise_project_id="all_granted_eps").data_list
        return found

    def update(self, cluster, **fields):
        body = hss.UpdateMultiCloudClusterRequestBody(current_expiration_date=LATER, **fields)
        request = hss.UpdateMultiCloudClustersRequest(cluster_id=cluster, body=body)
        return self.sdk.update_multi_cloud_clusters(request)

    def remove(self, cluster):
        return self.sdk.remove_multi_cloud_clusters(hss.RemoveMultiCloudClustersRequest(cluster_id=cluster))

    def analyze(self, kubeconfig):
        body = hss.MultiCloudClusterConfigRequestBody(kube_config=kubeconfig)
        return self.sdk.parse_multi_cloud_cluster_config(hss.ParseMultiCloudClusterConfigRequest(body=body))

    def synchronize(self, *clusters):
        named = [hss.MultiCloudClusterIdInfo(cluster_id=one) for one in clusters]
        body = hss.MultiCloudClusterSyncStatusRequestBody(total_num=len(named), data_list=named)
        return self.sdk.sync_multi_cloud_cluster_status(hss.SyncMultiCloudClusterStatusRequest(body=body))

    def script(self, cluster):
        request = hss.ShowMultiCloudClusterProxyScriptRequest(cluster_id=cluster)
        return self.sdk.show_multi_cloud_cluster_proxy_script(request).install_script

    def image_command(self, **fields):
        return self.sdk.show_multi_cloud_cluster_image_command(hss.ShowMultiCloudClusterImageCommandRequest(**fields))

    def network(self):
        return self.sdk.show_agent_address(hss.ShowAgentAddressRequest())


def refused(call):
    """The status, code and text with which a call is refused."""
    with pytest.raises(ClientRequestException) as caught:
        call()
    error = caught.value
    return error.status_code, error.error_code, error.error_msg


@pytest.fixture(params=["sqlite", "postgres"], scope="module")
def bailiwick(request, database_url):
    running = Server(database=database_url(request.param))
    try:
        yield running.start()
    finally:
        running.remove()


@pytest.fixture(scope="module")
def clusters(bailiwick):
    return Clusters(bailiwick)


@pytest.fixture(scope="module")
def member(bailiwick):
    """Somebody who belongs to the account and holds nothing."""
    return Clusters(bailiwick, bailiwick.add_key(bailiwick.add_user()))


def until_status(clusters, cluster, status):
    until(lambda: clusters.one(cluster).status == status, 30, f"the status is {status}")


def test_a_cluster_lives_through_the_sdk_and_is_the_same_everywhere(bailiwick, clusters, api_server, kube, namespace):
    name = f"imported-{secrets.token_hex(3)}"
    cluster = clusters.create(
        api_server.kubeconfig,
        name=name,
        provider="self_built_idc",
        server=api_server.url,
        image_repo="registry.example",
        current_expiration_date=LATER,
        image_arch="x86",
        dns_policy="default",
    )
    until_status(clusters, cluster, "connect_success")
    found = clusters.one(cluster)
    assert (found.cluster_name, found.provider, found.server) == (name, "self_built_idc", api_server.url)
    assert (found.image_repo, found.current_expiration_date) == ("registry.example", LATER)
    [analyzed] = clusters.analyze(api_server.kubeconfig).data_list
    assert (analyzed.address, analyzed.certificate_expiration_date) == (api_server.url, found.certificate_expiration_date)
    ours = bailiwick.cluster(cluster)
    assert (ours["name"], ours["state"], ours["provider"]) == (name, "connected", "self_built_idc")
    assert ours["project"] == bailiwick.project

    user = bailiwick.add_user()
    grant = grant_to(bailiwick, user, cluster, namespace)
    bailiwick.until_state(grant, cluster, "effective")
    kube.until_allowed(user, "get", "pods", namespace)
    assert clusters.synchronize(cluster).status_code == 200
    assert clusters.remove(cluster).status_code == 200
    until(lambda: applied(kube, cluster) == [], 30, "what was granted is revoked")
    assert clusters.list(cluster_id=cluster).total_num == 0
    assert refused(lambda: clusters.remove(cluster))[0] == 404


def test_what_the_command_line_adds_is_listed_too(bailiwick, clusters):
    cluster = bailiwick.add_cluster()
    found = clusters.one(cluster)
    assert (found.status, found.server, found.certificate_expiration_date) == ("not_connect", "", None)
    bailiwick.do("cluster", "remove", cluster)


def test_the_end_of_a_credential_is_told_in_milliseconds(bailiwick, clusters, api_server):
    identity = api_server.authority.client(f"ends-{secrets.token_hex(3)}", "system:masters")
    text = api_server.kubeconfig_for("ends", identity)
    [analyzed] = clusters.analyze(text).data_list
    end = analyzed.certificate_expiration_date
    certificate = x509.load_pem_x509_certificate(pathlib.Path(identity[0]).read_bytes())
    assert end == certificate.not_valid_after_utc.timestamp() * 1000
    cluster = clusters.create(text)
    assert clusters.one(cluster).certificate_expiration_date == end
    assert clusters.one(cluster).cluster_name.startswith("multi-cloud-")
    clusters.remove(cluster)


def test_another_kubeconfig_of_the_same_cluster_takes_over_and_one_of_another_does_not(
    bailiwick, clusters, member, api_server, other_api_server, kube, namespace
):
    cluster = clusters.create(api_server.kubeconfig, name=f"t1-{secrets.token_hex(3)}")
    until_status(clusters, cluster, "connect_success")
    until_identified(bailiwick, cluster)
    user = bailiwick.add_user()
    grant = grant_to(bailiwick, user, cluster, namespace)
    bailiwick.until_state(grant, cluster, "effective")
    other_api_server.client().create_namespace(namespace)
    status, code, _ = refused(lambda: member.update(cluster, kubeconfig=other_api_server.kubeconfig))
    assert (status, code) == (403, "APIGW.0302")
    status, code, text = refused(lambda: clusters.update(cluster, kubeconfig=other_api_server.kubeconfig))
    assert (status, code) == (409, "HSS.0003")
    assert "not the cluster" in text
    assert clusters.one(cluster).server == api_server.url
    assert bailiwick.state(grant, cluster)["state"] == "effective"

    assert clusters.update(cluster, kubeconfig=another_admin(api_server)).status_code == 200
    assert clusters.one(cluster).current_expiration_date == LATER
    assert bailiwick.state(grant, cluster)["state"] == "effective"
    kube.until_allowed(user, "get", "pods", namespace)
    # Without a kubeconfig, only the date is another.
    assert clusters.update(cluster, upgrade=True).status_code == 200
    clusters.remove(cluster)


def test_whoever_belongs_to_the_account_reads_and_whoever_holds_a_right_changes(
    bailiwick, clusters, member, api_server
):
    cluster = clusters.create(api_server.kubeconfig, name=f"reads-{secrets.token_hex(3)}")
    assert member.one(cluster).cluster_id == cluster
    assert member.analyze(api_server.kubeconfig).total_num == 1
    network = member.network()
    assert (network.anp_address, network.agent_address) == ("none", "none")
    changes = {
        "create": lambda who: who.create(api_server.kubeconfig, name=f"by-{secrets.token_hex(3)}"),
        "update": lambda who: who.update(cluster),
        "sync": lambda who: who.synchronize(cluster),
        "getInstallScript": lambda who: who.script(cluster),
        "delete": lambda who: who.remove(cluster),
    }
    for action, change in changes.items():
        status, code, text = refused(lambda change=change: change(member))
        assert (status, code) == (403, "APIGW.0302")
        assert f"hss:multiCloudCluster:{action}" in text
    for action, change in changes.items():
        user = bailiwick.add_user()
        document = {"Version": "5.0", "Statement": [{"Effect": "Allow", "Action": [f"hss:multiCloudCluster:{action}"], "Resource": ["*"]}]}
        allow(bailiwick, user, document)
        change(Clusters(bailiwick, bailiwick.add_key(user)))


def allow(bailiwick, user, document):
    body = {"name": f"p-{secrets.token_hex(4)}", "document": document}
    policy = bailiwick.client().call("POST", "/bailiwick/v1/policies", body, status=201)["id"]
    bailiwick.client().call("PUT", f"/bailiwick/v1/policies/{policy}/users/{user}")


def test_the_documented_reading_asks_for_membership_alone(new_server, api_server):
    server = new_server(config='[hss]\nauthorization = "documented"\n').start()
    user = server.add_user()
    member = Clusters(server, server.add_key(user))
    cluster = member.create(api_server.kubeconfig)
    assert member.update(cluster).status_code == 200
    assert member.synchronize(cluster).status_code == 200
    deny = {"Version": "5.0", "Statement": [{"Effect": "Deny", "Action": ["bailiwick:cluster:delete"], "Resource": ["*"]}]}
    allow(server, user, deny)
    assert refused(lambda: member.remove(cluster))[0] == 403
    # The native interface goes on to ask for rights.
    native = server.client(server.add_key(server.add_user()))
    assert native.request("DELETE", f"/bailiwick/v1/clusters/{cluster}").status == 403
    Clusters(server).remove(cluster)


def test_why_an_address_is_refused_is_told_to_those_who_may_import(bailiwick, clusters, member, api_server):
    hidden = [
        api_server.kubeconfig.replace(api_server.url, url)
        for url in ("https://169.254.169.254", "https://100.100.100.200", "https://[ff02::1]:6443")
    ]
    hidden.append("not: a kubeconfig")
    hidden.append(api_server.kubeconfig.replace("https:", "http:"))
    told = {refused(lambda text=text: member.analyze(text)) for text in hidden}
    assert len(told) == 1
    [(status, code, text)] = told
    assert (status, code) == (400, "HSS.0003")
    assert "kube_config" in text
    assert len({refused(lambda text=text: clusters.analyze(text)) for text in hidden}) > 1
    assert {refused(lambda text=text: member.create(text))[0] for text in hidden} == {403}


def test_synchronizing_finds_out_now_that_a_cluster_does_not_answer(bailiwick, clusters, api_server):
    dead = api_server.kubeconfig.replace(str(api_server.port), "1")
    cluster = clusters.create(dead, name=f"dead-{secrets.token_hex(3)}")
    assert clusters.synchronize(cluster).status_code == 200
    assert clusters.one(cluster).status == "connect_fail"
    path = f"/v5/{bailiwick.project}/container/kubernetes/multi-cloud/clusters?cluster_id={cluster}"
    [row] = bailiwick.client().call("GET", path)["data_list"]
    assert "does not answer" in row["status_reason"]
    assert "does not answer" not in refused_reason(bailiwick, path)
    assert row["status_time"] > 0
    bailiwick.do("cluster", "remove", cluster, "--abandon")


def refused_reason(bailiwick, path):
    """What a member without rights reads of it."""
    person = bailiwick.client(bailiwick.add_key(bailiwick.add_user()))
    [row] = person.call("GET", path)["data_list"]
    assert row["status_reason"]
    return row["status_reason"]


def test_a_proxy_of_the_environment_is_not_gone_through(new_server, api_server):
    nobody = "http://127.0.0.1:1"
    names = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
    server = new_server(environment=dict.fromkeys(names, nobody)).start()
    clusters = Clusters(server)
    cluster = clusters.create(api_server.kubeconfig)
    until_status(clusters, cluster, "connect_success")
    request = hss.ShowMultiCloudClusterAuthRequest(cluster_id=cluster)
    assert clusters.sdk.show_multi_cloud_cluster_auth(request).total_num == len(ROWS)


def test_parameters_are_what_the_documents_say(bailiwick, clusters, api_server):
    root = f"/v5/{bailiwick.project}/container/kubernetes/multi-cloud"
    client = bailiwick.client()
    for query in (
        "limit=9",
        "limit=201",
        "limit=x",
        "offset=-1",
        "offset=2000001",
        "enterprise_project_id=",
        f"enterprise_project_id={'x' * 257}",
        f"cluster_id={'x' * 65}",
        "limit=10&limit=20",
    ):
        answer = client.request("GET", f"{root}/clusters?{query}")
        assert (answer.status, answer.json()["error_code"]) == (400, "HSS.0003"), query
    assert client.request("GET", f"{root}/clusters?offset=2000000&limit=200&unknown=1").json()["data_list"] == []
    other = root.replace(bailiwick.project, "0" * 32)
    assert client.request("GET", f"{other}/clusters").status == 404
    assert client.request("GET", f"{root}/nothing").json()["error_code"] == "APIGW.0101"
    for body in ({}, {"kube_config": 1}, {"kube_config": "a", "kubeconfig": "b"}):
        assert client.request("POST", f"{root}/config-analyze", body).status == 400
    assert client.request("POST", f"{root}/config-analyze", {"kubeconfig": api_server.kubeconfig}).status == 200
    elsewhere = "https://elsewhere.example:6443"
    status, _, text = refused(lambda: clusters.create(api_server.kubeconfig, server=elsewhere))
    assert (status, "server" in text) == (400, True)


def test_enterprise_projects_say_which_clusters_are_meant(bailiwick, clusters, member, api_server):
    project = bailiwick.cli("enterprise-project", "create", f"ep-{secrets.token_hex(3)}")["id"]
    inside = clusters.create(api_server.kubeconfig, project=project, name=f"in-{secrets.token_hex(3)}")
    outside = clusters.create(api_server.kubeconfig, name=f"out-{secrets.token_hex(3)}")

    def seen(who, **query):
        found = {one.cluster_id for one in who.list(limit=200, **query).data_list}
        return found & {inside, outside}

    assert seen(clusters) == seen(clusters, enterprise_project_id="0") == {outside}
    assert seen(clusters, enterprise_project_id=project) == {inside}
    assert seen(clusters, enterprise_project_id="all_granted_eps") == {inside, outside}
    assert seen(member, enterprise_project_id="all_granted_eps") == {outside}
    user = bailiwick.add_user()
    document = {"Version": "5.0", "Statement": [{"Effect": "Allow", "Action": ["bailiwick:cluster:list"], "Resource": ["*"]}]}
    body = {"name": f"p-{secrets.token_hex(4)}", "document": document}
    policy = bailiwick.client().call("POST", "/bailiwick/v1/policies", body, status=201)["id"]
    path = f"/bailiwick/v1/policies/{policy}/users/{user}?enterpriseProject={project}"
    bailiwick.client().call("PUT", path)
    granted = Clusters(bailiwick, bailiwick.add_key(user))
    assert seen(granted, enterprise_project_id="all_granted_eps") == {inside, outside}
    assert refused(lambda: clusters.create(api_server.kubeconfig, project="all_granted_eps"))[0] == 400
    for one in (inside, outside):
        clusters.remove(one)


def test_another_accounts_cluster_is_as_unknown_as_none(bailiwick, clusters, api_server):
    stranger = bailiwick.cli("account", "create", f"hss-{secrets.token_hex(4)}", "--data-dir", bailiwick.data,
                             *(["--database", bailiwick.database] if bailiwick.database else []))
    elsewhere = bailiwick.client((stranger["accessKeyId"], stranger["secretAccessKey"]))
    project = elsewhere.call("GET", "/v3/auth/projects")["projects"][0]["id"]
    cluster = clusters.create(api_server.kubeconfig, name=f"wall-{secrets.token_hex(3)}")
    never = f"{secrets.token_hex(4)}{cluster[8:]}"
    root = f"/v5/{project}/container/kubernetes/multi-cloud/clusters"

    def answers(named):
        requests = (
            ("PUT", f"{root}/{named}", {"current_expiration_date": LATER}),
            ("DELETE", f"{root}/{named}", None),
            ("GET", f"{root}/{named}/agent/install-script", None),
            ("POST", f"{root}/status-synchronize", {"data_list": [{"cluster_id": named}]}),
            ("GET", f"{root}?cluster_id={named}", None),
        )
        found = []
        for method, path, body in requests:
            answer = elsewhere.request(method, path, body)
            said = answer.body.replace(answer.headers["X-Request-Id"].encode(), b"R").replace(named.encode(), b"N")
            found.append((answer.status, said))
        return found

    assert answers(cluster) == answers(never)
    assert [status for status, _ in answers(cluster)] == [404, 404, 404, 404, 200]
    clusters.remove(cluster)


HOSTILE = ["$(touch pwned)", "`touch pwned`", "'; touch pwned; '", '"; touch pwned; "', "a b", "--x", "\\", "é"]


def test_what_is_in_a_script_is_taken_by_the_shell_as_it_is(bailiwick, clusters, tmp_path):
    planted = f"planted-{secrets.token_hex(8)}"
    for value in HOSTILE:
        command = clusters.image_command(
            image_repo=value, organization=value, username=value, password=planted, plug_type="docker"
        )
        for script in (command.image_command, command.secret_command):
            assert planted not in script
            done = subprocess.run(
                ["sh", "-c", script], capture_output=True, text=True, cwd=tmp_path, env=clean_environment(), check=True
            )
            assert value in done.stdout.splitlines()
    assert list(tmp_path.iterdir()) == []
    sdk = {"image_repo": "x", "organization": "x", "username": "x", "password": planted}
    assert refused(lambda: clusters.image_command(**{**sdk, "image_repo": "a\nb"}))[0] == 400
    assert refused(lambda: clusters.image_command(**sdk, plug_type="other"))[0] == 400
    bailiwick.client().request("GET", f"/v5/no/container/kubernetes/multi-cloud/image-upload-command?password={planted}")
    # The query is nowhere: not in the log, not in the audit.
    assert planted not in bailiwick.process.output()
    assert planted not in json.dumps(bailiwick.client().all("/bailiwick/v1/audit-events"))


def test_the_install_script_makes_the_connector(bailiwick, clusters, api_server, kube, tmp_path):
    name = "team obrien +x"
    cluster = clusters.create(api_server.kubeconfig, name=f"{name} {secrets.token_hex(3)}")
    script = clusters.script(cluster)
    config = tmp_path / "operator"
    config.write_text(api_server.kubeconfig, encoding="utf-8")
    env = clean_environment(HOME=tmp_path, KUBECONFIG=config)
    done = subprocess.run(
        ["sh", "-s"], input=script, capture_output=True, text=True, cwd=tmp_path, env=env, timeout=90, check=False
    )
    assert done.returncode == 0, done.stderr
    assert name in done.stdout
    written = tmp_path / "bailiwick-connector.kubeconfig"
    assert written.stat().st_mode & 0o077 == 0
    line = next(line for line in done.stdout.splitlines() if line.startswith("bailiwick "))
    assert shlex.split(line)[:4] == ["bailiwick", "cluster", "rotate", cluster]
    until_identified(bailiwick, cluster)
    assert clusters.update(cluster, kubeconfig=written.read_text(encoding="utf-8")).status_code == 200
    clusters.remove(cluster)


def with_user(kubeconfig, user):
    """The kubeconfig with another credential."""
    config = yaml.safe_load(kubeconfig)
    config["users"][0]["user"] = user
    return yaml.safe_dump(config)


def encoded(path):
    return base64.b64encode(pathlib.Path(path).read_bytes()).decode()


def key_texts(path):
    """How a private key could be found again: as PEM, base64 of that, its bytes, the number itself in hexadecimal."""
    pem = pathlib.Path(path).read_bytes()
    [*_, body] = pem.split(b"-----BEGIN EC PRIVATE KEY-----")
    lines = body.split(b"-----END")[0].split()
    number = serialization.load_pem_private_key(pem, None).private_numbers().private_value
    return [*lines, encoded(path)[60:100].encode(), number.to_bytes(32), f"{number:064x}".encode()]


def test_a_kubeconfig_never_comes_out_again(bailiwick, clusters, member, api_server, tmp_path):
    planted = f"tok-{secrets.token_hex(16)}"
    password = f"pw-{secrets.token_hex(16)}"
    certificate, key = api_server.authority.client(f"leak-{secrets.token_hex(3)}", "system:masters")
    another, _ = api_server.authority.client(f"other-{secrets.token_hex(3)}")
    pair = {"client-certificate-data": encoded(certificate), "client-key-data": encoded(key)}
    needles = [planted.encode(), password.encode(), *key_texts(key)]
    texts = {
        "token": with_user(api_server.kubeconfig, {"token": planted}),
        "pair": with_user(api_server.kubeconfig, pair),
        "password": with_user(api_server.kubeconfig, {"username": "a", "password": password}),
        "both": with_user(api_server.kubeconfig, {**pair, "token": planted}),
        "mismatch": with_user(api_server.kubeconfig, {**pair, "client-certificate-data": encoded(another)}),
    }
    client, nobody = bailiwick.client(), bailiwick.client(bailiwick.add_key(bailiwick.add_user()))
    root = f"/v5/{bailiwick.project}/container/kubernetes/multi-cloud"
    made = {kind: clusters.create(texts[kind], name=f"{kind}-{secrets.token_hex(3)}") for kind in ("token", "pair")}
    dead = clusters.create(texts["pair"].replace(str(api_server.port), "1"), name=f"dead-{secrets.token_hex(3)}")
    until_status(clusters, made["pair"], "connect_success")
    seen = []

    def ask(method, path, body=None):
        for who in (client, nobody):
            seen.append(who.request(method, path, body).body)

    for text in texts.values():
        for spoiled in (text, f"{text}\nx: [{planted}{password}", text.replace("https:", "http:")):
            ask("POST", f"{root}/config-analyze", {"kube_config": spoiled})
            ask("POST", f"{root}/clusters", {"kube_config": spoiled, "name": "a/b"})
            ask("PUT", f"{root}/clusters/{made['token']}", {"current_expiration_date": 1, "kubeconfig": spoiled})
            ask("POST", "/bailiwick/v1/clusters", {"kubeconfig": spoiled, "name": "a/b"})
            ask("PUT", f"/bailiwick/v1/clusters/{made['token']}/connection", {"kubeconfig": spoiled})
    for cluster in (*made.values(), dead):
        ask("POST", f"{root}/clusters/status-synchronize", {"data_list": [{"cluster_id": cluster}]})
        ask("GET", f"{root}/clusters/{cluster}/agent/install-script")
        ask("GET", f"{root}/clusters/{cluster}/permissions?limit=200")
        for tail in ("", "/checks"):
            ask("GET", f"/bailiwick/v1/clusters/{cluster}{tail}")
        ask("POST", f"/bailiwick/v1/clusters/{cluster}/check", {})
    ask("GET", f"{root}/clusters?limit=200")
    ask("GET", "/bailiwick/v1/clusters")
    seen.append(json.dumps(client.all("/bailiwick/v1/audit-events")).encode())
    seen.append(bailiwick.do("audit", "export").encode())
    with urllib.request.urlopen(f"{bailiwick.base}/metrics", timeout=10) as answer:
        seen.append(answer.read())
    seen.append(bailiwick.process.output().encode())
    seen.extend(database_bytes(bailiwick, tmp_path))
    found = [(needle, text) for needle in needles for text in seen if needle in text]
    assert found == []
    # What is looked for would be found: it is what was sent.
    sent = json.dumps(texts).encode() + pathlib.Path(key).read_bytes()
    assert all(needle in sent for needle in needles[:4])
    for cluster in (*made.values(), dead):
        bailiwick.do("cluster", "remove", cluster, "--abandon")


def database_bytes(bailiwick, folder):
    """Everything that the server keeps: its data folder with the write-ahead log, its database, and a backup."""
    files = [file for file in bailiwick.data.rglob("*") if file.is_file()]
    if bailiwick.database:
        dump = subprocess.run(["pg_dump", "--dbname", bailiwick.database], capture_output=True, check=True).stdout
        assert b"sealed_connection" in dump
        return [dump, *(file.read_bytes() for file in files)]
    assert any(file.name.endswith("-wal") for file in files)
    backup = folder / "backup.db"
    bailiwick.do("backup", "--data-dir", bailiwick.data, backup)
    return [file.read_bytes() for file in (*files, *folder.glob("backup.db*"))]


def test_a_key_of_another_certificate_is_refused_before_anything_is_changed(bailiwick, clusters, api_server, tmp_path):
    certificate, key = api_server.authority.client(f"one-{secrets.token_hex(3)}")
    another, _ = api_server.authority.client(f"two-{secrets.token_hex(3)}")
    pair = {"client-certificate-data": encoded(another), "client-key-data": encoded(key)}
    text = with_user(api_server.kubeconfig, pair)
    cluster = clusters.create(api_server.kubeconfig, name=f"pair-{secrets.token_hex(3)}")
    before = bailiwick.client().call("GET", "/bailiwick/v1/clusters")["items"]
    for call in (
        lambda: clusters.analyze(text),
        lambda: clusters.create(text, name=f"pair-{secrets.token_hex(3)}"),
        lambda: clusters.update(cluster, kubeconfig=text),
    ):
        status, code, said = refused(call)
        assert (status, code) == (400, "HSS.0003") and "the key of another certificate" in said, said
    file = tmp_path / "kubeconfig"
    file.write_text(text, encoding="utf-8")
    for arguments in (("add", f"pair-{secrets.token_hex(3)}"), ("rotate", cluster)):
        done = bailiwick.run("cluster", *arguments, "--kubeconfig", file)
        assert done.returncode == 1 and "the key of another certificate" in done.stderr, done
    after = bailiwick.client().call("GET", "/bailiwick/v1/clusters")["items"]
    assert [one["id"] for one in after] == [one["id"] for one in before]
    pair["client-certificate-data"] = encoded(certificate)
    assert clusters.analyze(with_user(api_server.kubeconfig, pair)).total_num == 1
    bailiwick.do("cluster", "remove", cluster, "--abandon")


@pytest.fixture
def checked(bailiwick, api_server, kube):
    one = Checked(bailiwick, api_server, kube)
    yield one
    one.remove()


def test_each_row_is_true_for_who_holds_all_of_it_and_false_without_one_of_its_verbs(
    member, checked, api_server, kube, tmp_path
):
    request = hss.ShowMultiCloudClusterAuthRequest(cluster_id=checked.cluster, limit=200)

    def shown():
        found = member.sdk.show_multi_cloud_cluster_auth(request)
        assert found.total_num == len(ROWS)
        return [row.is_authed for row in found.data_list]

    for held in (ALL, set()):
        checked.give(held)
        assert shown() == [held == ALL] * len(ROWS)
    for at, row in enumerate(ROWS):
        verb = sorted(row["verbs"])[-1 - at % len(row["verbs"])]
        checked.give(ALL - {right for right in rights(row) if right[3] == verb})
        truth = [all(allowed(kube, checked.user, right) for right in rights(one)) for one in ROWS]
        assert shown() == truth, (at, verb)
        assert truth[at] is False
    manifest = checked.bailiwick.do("cluster", "check", checked.cluster, "--manifest")
    kubectl(api_server, tmp_path, "apply", "-f", "-", text=manifest)
    try:
        until(lambda: all(shown()), 10, "the manifest turns every row true")
    finally:
        kubectl(api_server, tmp_path, "delete", "-f", "-", text=manifest)


def test_a_connection_to_what_lies_or_is_silent_is_refused_in_time_and_the_former_one_stays(
    bailiwick, clusters, api_server, other_api_server
):
    cluster = clusters.create(api_server.kubeconfig, name=f"lies-{secrets.token_hex(3)}")
    until_status(clusters, cluster, "connect_success")
    until_identified(bailiwick, cluster)
    found = {}

    def ask(name, url):
        began = time.monotonic()
        text = api_server.kubeconfig.replace(api_server.url, url)
        status, code, said = refused(lambda: Clusters(bailiwick).update(cluster, kubeconfig=text))
        found[name] = (status, code, said, time.monotonic() - began)

    with hostile.servers(api_server.authority, other_api_server.authority) as urls:
        threads = [threading.Thread(target=ask, args=each) for each in urls.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert set(found) == set(urls)
    for name, (status, code, said, seconds) in found.items():
        assert (status, code) == (409, "HSS.0003") and seconds < 10, (name, said, seconds)
    assert clusters.one(cluster).server == api_server.url
    clusters.remove(cluster)


def test_permissions_are_what_the_cluster_says_now(bailiwick, clusters, member, api_server, kube):
    cluster = clusters.create(api_server.kubeconfig, name=f"auth-{secrets.token_hex(3)}")
    weak = f"weak-{secrets.token_hex(3)}"
    less = clusters.create(api_server.kubeconfig_for(weak), name=weak)

    def auth(who, named, **query):
        request = hss.ShowMultiCloudClusterAuthRequest(cluster_id=named, **query)
        return who.sdk.show_multi_cloud_cluster_auth(request)

    found = auth(member, cluster, enterprise_project_id="all_granted_eps", limit=200)
    assert found.total_num == len(found.data_list) <= 100
    assert all(row.is_authed is True for row in found.data_list)
    assert not any(row.is_authed for row in auth(member, less, limit=200).data_list)
    first, second = found.data_list[:2]
    names = "namespaces, pods, nodes, services, endpoints, configmaps, events, persistentvolumeclaims, persistentvolumes, "
    assert (first.api_groups, first.function) == ("", "Asset Management")
    assert first.resources == f"{names}podtemplates, repli"
    assert (second.resources, second.function) == ("pods/status", "Container Security Response")
    assert first.advice.startswith("For details about how to configure RBAC permissions")
    page = auth(member, cluster)
    assert (page.total_num, len(page.data_list)) == (found.total_num, min(10, found.total_num))
    rest = auth(member, cluster, offset=10)
    assert page.data_list + rest.data_list == found.data_list[: len(page.data_list) + len(rest.data_list)]
    detached = bailiwick.add_cluster()
    assert refused(lambda: auth(clusters, detached))[0] == 409
    unknown = refused(lambda: auth(clusters, "0" * 32))
    assert unknown[:2] == (404, "HSS.0003")
    for one in (cluster, less, detached):
        bailiwick.do("cluster", "remove", one, "--abandon")
