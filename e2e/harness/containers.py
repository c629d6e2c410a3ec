"""podman with storage of its own: what it loads, builds and runs is gone with it."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile

from harness.process import Process

# Rootless containers need more of a machine than a test may ask for.
ROOT = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]

# Cgroups as they are, and limits that a sandbox does not have to raise.
CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
tmp_dir = "{folder}/tmp"
"""
STORAGE_CONF = """\
[storage]
driver = "vfs"
graphroot = "{folder}/graph"
runroot = "{folder}/run"
"""


def as_root(*command, **options):
    """Runs a command as root. Answers what it printed."""
    done = subprocess.run([*ROOT, *map(str, command)], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


class Podman:
    """One private podman."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="bailiwick-podman-"))
        self.environment = {}
        for name, text in (("CONTAINERS_CONF", CONTAINERS_CONF), ("CONTAINERS_STORAGE_CONF", STORAGE_CONF)):
            file = self.folder / f"{name.lower()}.conf"
            file.write_text(text.format(folder=self.folder), encoding="utf-8")
            self.environment[name] = str(file)

    def command(self, *arguments):
        """The command line of `podman ARGUMENTS`, or of another program that runs podman."""
        environment = [f"{name}={value}" for name, value in self.environment.items()]
        return [*ROOT, "env", *environment, *map(str, arguments)]

    def do(self, *arguments, timeout=120):
        """Runs podman, which must succeed. Answers what it printed."""
        done = self.attempt(*arguments, timeout=timeout)
        assert done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def attempt(self, *arguments, timeout=120):
        """Runs podman. Answers the completed process."""
        return subprocess.run(
            self.command("podman", *arguments), capture_output=True, text=True, timeout=timeout, check=False
        )

    def inspect(self, image):
        """What podman knows about an image."""
        return json.loads(self.do("image", "inspect", image))[0]

    def start(self, *arguments, log):
        """`podman run` in the foreground: it ends with the test run, and the container with it."""
        return Process(self.command("podman", "run", "--rm", *arguments), log=log)

    def secret(self, name, text, mode="400", owner="65532:65532"):
        """A file of that owner and mode, as whoever hands secrets to containers makes it. Answers its path."""
        file = self.folder / name
        file.write_text(text, encoding="utf-8")
        as_root("chown", owner, file)
        as_root("chmod", mode, file)
        return file

    def remove(self):
        """Ends all containers and removes everything."""
        self.attempt("rm", "--force", "--all", "--time", "0")
        self.attempt("pod", "rm", "--force", "--all", "--time", "0")
        if ROOT:
            as_root("rm", "-rf", self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)
