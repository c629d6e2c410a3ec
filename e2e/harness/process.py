"""Child processes that never outlive the test run, free ports, and waiting with a deadline."""

import ctypes
import os
import signal
import socket
import subprocess
import time

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def die_with_parent():
    """Runs in the child before exec: a killed test run must not leave servers behind."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def free_port():
    """A port that was free a moment ago. Starters retry, because another process may take it first."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def until(condition, timeout, what, interval=0.02):
    """The first truthy value of `condition()`; fails with `what` and the last exception when time is up."""
    deadline = time.monotonic() + timeout
    last = None
    while True:
        try:
            value = condition()
            if value:
                return value
        except Ended:
            raise
        except Exception as error:  # whatever it is, it may pass; the last one is shown
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"within {timeout} s not seen: {what}" + (f" (last: {last!r})" if last else ""))
        time.sleep(interval)


class Ended(Exception):
    """The program ended before it was ready."""


class Process:
    """A running program with its output in a file."""

    def __init__(self, command, log, env=None, cwd=None, user=None):
        self.command = [str(part) for part in command]
        self.log = log
        with open(log, "ab") as output:
            self.popen = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=env,
                cwd=cwd,
                user=user,
                group=user,
                extra_groups=[] if user else None,
                preexec_fn=die_with_parent,
            )

    @property
    def pid(self):
        return self.popen.pid

    def output(self):
        """Everything it has printed, both streams."""
        with open(self.log, "rb") as output:
            return output.read().decode("utf-8", "replace")

    def running(self):
        return self.popen.poll() is None

    def wait_ready(self, condition, timeout, what):
        """Polls until ready; a program that ended fails at once and shows the end of its output."""

        def ready():
            if not self.running():
                raise Ended(f"{self.command[0]} ended with {self.popen.returncode}:\n{self.output()[-4000:]}")
            return condition()

        try:
            return until(ready, timeout, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output()[-4000:]}") from None

    def stop(self, timeout=15, by=signal.SIGTERM):
        """Asks it to end, then SIGKILL when `timeout` is over. Answers the exit code."""
        if self.running():
            self.popen.send_signal(by)
            try:
                self.popen.wait(timeout)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        return self.popen.returncode


def clean_environment(**extra):
    """The environment without anything that would configure Bailiwick, an SDK or kubectl by accident."""
    dropped = ("BAILIWICK_", "HUAWEICLOUD_", "HC_", "KUBE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    kept = {key: value for key, value in os.environ.items() if not key.upper().startswith(dropped)}
    kept.update({key: str(value) for key, value in extra.items()})
    return kept
