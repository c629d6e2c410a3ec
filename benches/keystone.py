"""The peer of the token benchmark: a real Keystone from PyPI, on SQLite, its cache on, one uWSGI process.

Makes what it needs in the given folder, says where it will listen in the words that the benchmark waits for, and
becomes the server, so that the process whose time is measured is Keystone's own.
"""

import grp
import os
import pathlib
import pwd
import socket
import subprocess
import sys
import venv

PACKAGES = ["keystone==30.0.0", "uwsgi==2.0.31"]

CONFIG = """[DEFAULT]
log_file = {folder}/keystone.log
[database]
connection = sqlite:///{folder}/keystone.db
[token]
provider = fernet
[fernet_tokens]
key_repository = {folder}/fernet
[credential]
key_repository = {folder}/credential
[cache]
enabled = true
backend = oslo_cache.dict
[identity]
password_hash_rounds = 4
"""


def environment():
    """A virtual environment with Keystone, made once and kept with the other downloads."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "bailiwick"
    folder = cache / ("keystone-" + "-".join(PACKAGES).replace("==", "-"))
    if not (folder / "complete").exists():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([folder / "bin/pip", "install", "-q", *PACKAGES], check=True, stdout=sys.stderr)
        (folder / "complete").touch()
    return folder


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def main(folder, password):
    python = environment()
    config = folder / "keystone.conf"
    config.write_text(CONFIG.format(folder=folder))
    for name in ["fernet", "credential"]:
        (folder / name).mkdir(mode=0o700)
    manage = [python / "bin/keystone-manage", "--config-file", config]
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([*manage, "db_sync"], **quiet)
    user, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    owner = ["--keystone-user", user, "--keystone-group", group]
    subprocess.run([*manage, "fernet_setup", *owner], **quiet)
    settings = {**os.environ, "OS_BOOTSTRAP_PASSWORD": password}
    subprocess.run([*manage, "bootstrap"], env=settings, **quiet)
    port = free_port()
    print(f"listening on http://127.0.0.1:{port}", flush=True)
    uwsgi = [
        python / "bin/uwsgi", "--http11-socket", f"127.0.0.1:{port}", "--module", "keystone.wsgi.api:application",
        "--processes", "1", "--virtualenv", python, "--disable-logging", "--logto", folder / "uwsgi.log",
    ]  # fmt: skip
    os.environ["OS_KEYSTONE_CONFIG_FILES"] = str(config)
    os.execv(uwsgi[0], [str(part) for part in uwsgi])


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), sys.argv[2])
