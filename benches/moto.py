"""The peer of vending: moto's server from PyPI, whose AssumeRole hands out temporary keys and checks nothing.

Says where it will listen in the words that the benchmark waits for, and becomes the server, so that the process whose
time is measured is moto's own.
"""

import os
import pathlib
import socket
import subprocess
import sys
import venv

PACKAGES = ["moto[server,sts]==5.2.0"]


def environment():
    """A virtual environment with moto, made once and kept with the other downloads."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "bailiwick"
    folder = cache / "moto-5.2.0"
    if not (folder / "complete").exists():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([folder / "bin/pip", "install", "-q", *PACKAGES], check=True, stdout=sys.stderr)
        (folder / "complete").touch()
    return folder


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


if __name__ == "__main__":
    program, port = environment() / "bin/moto_server", free_port()
    print(f"listening on http://127.0.0.1:{port}", flush=True)
    os.execv(program, [str(program), "-H", "127.0.0.1", "-p", str(port)])
