"""The way to a PostgreSQL on another machine: TLS that verifies its name, or no start."""

import shutil

import pytest

from harness.certificates import Authority
from harness.postgres import Postgres


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(str(tmp_path_factory.mktemp("authority")))


@pytest.fixture(scope="module")
def postgres_with_tls(authority, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = (shutil.copy(path, folder) for path in authority.server("postgres"))
    for path in (folder, *folder.parents):
        if path.owner() == folder.owner() and path != path.parent and "pytest" in str(path):
            path.chmod(0o755)
    try:
        shutil.chown(key, "postgres")
    except (LookupError, PermissionError):
        pass  # not root: it runs as ourselves
    running = Postgres(options=("ssl=on", f"ssl_cert_file={certificate}", f"ssl_key_file={key}"))
    yield running
    running.stop()


def test_a_database_on_another_machine_needs_tls_that_verifies_its_name(new_server):
    for url in ("postgres://u:hunter2@db.invalid/b", "postgres://u:hunter2@192.0.2.1/b?sslmode=require"):
        said = new_server(database=url).refuses_to_start()
        assert "sslmode=verify-full" in said
        assert "hunter2" not in said


def test_a_database_with_a_verified_certificate_is_used_over_tls(new_server, postgres_with_tls, authority):
    url = postgres_with_tls.create_database("over_tls")
    server = new_server(database=f"{url}?sslmode=verify-full&sslrootcert={authority.certificate}").start()
    user = server.add_user()
    assert server.client().call("GET", f"/bailiwick/v1/users/{user}")["id"] == user
    statement = (
        "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
        "WHERE datname = 'over_tls' AND client_port IS NOT NULL AND application_name <> 'psql'"
    )
    assert postgres_with_tls.query("over_tls", statement) == "t"


def test_a_database_that_another_authority_vouches_for_is_refused(new_server, postgres_with_tls, tmp_path):
    other = Authority(str(tmp_path))
    url = postgres_with_tls.create_database("wrong_authority")
    said = new_server(database=f"{url}?sslmode=verify-full&sslrootcert={other.certificate}").refuses_to_start(30)
    assert "certificate" in said.lower()


def test_a_database_whose_certificate_is_for_another_name_is_refused(new_server, postgres_with_tls, authority):
    url = postgres_with_tls.create_database("wrong_name").replace("127.0.0.1", "127.0.0.2")
    said = new_server(database=f"{url}?sslmode=verify-full&sslrootcert={authority.certificate}").refuses_to_start(30)
    assert "not valid for name" in said, said
