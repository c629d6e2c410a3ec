"""What every test may ask for: a real cluster, real databases, real servers.

The cluster is one for the whole run, servers are one per module unless a test starts its own: they are cheap.
"""

import secrets

import pytest

from harness import ack, apiserver, figures, server
from harness.postgres import Postgres


def pytest_configure(config):
    if not config.option.collectonly and not server.program().exists():
        pytest.exit(f"{server.program()} does not exist; `make e2e` builds it", returncode=2)


@pytest.fixture(scope="session")
def api_server():
    """The cluster that most tests share."""
    running = apiserver.ApiServer(apiserver.programs())
    yield running
    running.stop()


@pytest.fixture(scope="session")
def other_api_server():
    """A second cluster, for tests that break it."""
    running = apiserver.ApiServer(apiserver.programs())
    yield running
    running.stop()


@pytest.fixture(scope="module")
def own_api_server():
    """An API server of a module alone: what is left of a webhook that refuses would be in everybody's way."""
    running = apiserver.ApiServer(apiserver.programs())
    yield running
    running.stop()


@pytest.fixture(scope="session")
def kube(api_server):
    """The shared cluster's administrator, over one kept-open connection."""
    return api_server.client()


@pytest.fixture(scope="session")
def postgres():
    running = Postgres()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def database_url(request):
    """Makes an empty database of a kind: answers the value for `--database`, `None` for the embedded default."""

    def make(kind):
        if kind == "sqlite":
            return None
        return request.getfixturevalue("postgres").create_database(f"bailiwick_{secrets.token_hex(6)}")

    return make


@pytest.fixture(scope="module")
def bailiwick(request, database_url):
    """The module's server. Modules choose its database by `parametrize("bailiwick", BOTH, indirect=True)`."""
    running = server.Server(database=database_url(getattr(request, "param", "sqlite")))
    try:
        yield running.start()
    finally:
        running.remove()


@pytest.fixture
def new_server():
    """Makes servers that a test starts by itself; they are ended with the test."""
    made = []

    def make(**options):
        made.append(server.Server(**options))
        return made[-1]

    yield make
    for one in made:
        one.remove()


@pytest.fixture(scope="module")
def cluster(bailiwick, api_server):
    """The shared cluster's id in the module's server."""
    return bailiwick.add_cluster(api_server)


@pytest.fixture
def unbound(new_server, api_server):
    """A server whose connector may bind whatever there is, and its cluster: (server, cluster)."""
    server = new_server().start()
    return server, server.add_cluster_as_root(api_server)


@pytest.fixture(scope="session")
def node_driver():
    """What the Node clients share; the first of them starts it."""
    yield
    ack.NodeClient.stop()


@pytest.fixture(params=ack.CLIENTS)
def ack_client(request, bailiwick, node_driver):
    """Makes one of the second vendor's official clients, of each kind in turn: as the root user, or with another
    (key id, secret)."""
    kind = ack.CLIENTS[request.param]
    return lambda key=None, token=None: kind(bailiwick.base, key or (bailiwick.key_id, bailiwick.secret), token)


@pytest.fixture
def namespace(kube):
    """A namespace of the test's own."""
    return kube.create_namespace(f"ns-{secrets.token_hex(4)}")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        for running in server.LIVE:
            end = "\n".join(running.process.output().splitlines()[-40:])
            report.sections.append((f"end of the log of {running.base}", end))


def pytest_terminal_summary(terminalreporter):
    if figures.LINES:
        terminalreporter.section("figures")
        for line in figures.LINES:
            terminalreporter.write_line(line)
