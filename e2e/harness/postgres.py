"""A private PostgreSQL in a temporary folder, for e2e and (as a program) for any command:

    python3 e2e/harness/postgres.py cargo test -p store --features postgres-tests

runs the command with BAILIWICK_TEST_POSTGRES set; `--durable` before it keeps PostgreSQL's own settings. Uses nothing but Python's own library, so it needs no venv.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

if __package__ in (None, ""):
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness.process import Ended, Process, clean_environment, free_port  # noqa: E402


def programs():
    """The folder with the newest installed server's programs: Debian does not put them on PATH."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: int(p.parts[4]))
    if not found:
        raise SystemExit("no PostgreSQL server under /usr/lib/postgresql; run scripts/setup")
    return found[-1].parent


class Postgres:
    """One server on a loopback port; without durability unless asked, because tests are of behaviour, not the disk."""

    def __init__(self, settings=("fsync=off", "synchronous_commit=off", "full_page_writes=off"), options=()):
        self.settings = (*settings, *options)
        self.bin = programs()
        # It refuses to run as root; the package brings a user of its own.
        self.user = "postgres" if os.geteuid() == 0 else None
        self.folder = tempfile.mkdtemp(prefix="bailiwick-postgres-")
        if self.user:
            shutil.chown(self.folder, self.user, self.user)
        self.data = os.path.join(self.folder, "data")
        self._run(
            "initdb",
            "-D",
            self.data,
            "-U",
            "postgres",
            "--auth=trust",
            "--no-sync",
            "--locale=C.UTF-8",
            "--encoding=UTF8",
        )
        for attempt in range(3):
            try:
                self._start()
                break
            except Ended:
                if attempt == 2:
                    raise

    def _start(self):
        self.port = free_port()
        self.process = Process(
            [
                self.bin / "postgres",
                "-D",
                self.data,
                "-p",
                self.port,
                "-k",
                self.folder,
                "-c",
                "listen_addresses=127.0.0.1,127.0.0.2",
                *(word for setting in (*self.settings, "max_connections=200") for word in ("-c", setting)),
            ],
            log=os.path.join(self.folder, "log"),
            env=self._environment(),
            cwd=self.folder,
            user=self.user,
        )
        self.process.wait_ready(self._answers, 30, "PostgreSQL answers")

    def _environment(self):
        env = clean_environment(HOME=self.folder)
        return {key: value for key, value in env.items() if not key.startswith("PG")}

    def _run(self, program, *arguments):
        subprocess.run(
            [self.bin / program, *arguments],
            check=True,
            cwd=self.folder,
            env=self._environment(),
            user=self.user,
            group=self.user,
            extra_groups=[] if self.user else None,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def _answers(self):
        probe = [self.bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(probe, env=self._environment(), check=False).returncode == 0

    def query(self, database, statement):
        """What psql prints for a statement, without decoration."""
        command = [self.bin / "psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", database, "-Atc"]
        return subprocess.run(
            [*command, statement], env=self._environment(), check=True, capture_output=True, text=True
        ).stdout.strip()

    def url(self, database="postgres"):
        return f"postgres://postgres@127.0.0.1:{self.port}/{database}"

    def create_database(self, name):
        """A new, empty database. Answers its URL."""
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", name)
        return self.url(name)

    def stop(self):
        self.process.stop(by=signal.SIGINT)  # SIGTERM would wait for clients to leave
        shutil.rmtree(self.folder, ignore_errors=True)


def main(command):
    """Runs `command` beside a fresh server and hands on its exit code."""
    if not command:
        raise SystemExit("usage: postgres.py [--durable] COMMAND [ARGUMENT…]")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server ends too
    durable = command[0] == "--durable"
    server = Postgres(settings=()) if durable else Postgres()
    command = command[1:] if durable else command
    try:
        return subprocess.run(
            command, env={**os.environ, "BAILIWICK_TEST_POSTGRES": server.url()}, check=False
        ).returncode
    finally:
        server.stop()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
