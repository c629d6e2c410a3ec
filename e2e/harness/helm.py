"""Helm itself, by its own library. It runs in a process of its own, because the library brings a Go runtime along.

As a program it reads one request from standard input (JSON) and prints the answer.
"""

import json
import pathlib
import subprocess
import sys

CHART = pathlib.Path(__file__).resolve().parents[2] / "deploy/helm/bailiwick"


class Refused(Exception):
    """Helm says no."""


def ask(action, **request):
    """Does one of the actions below in another process. Answers what it answers."""
    done = subprocess.run(
        [sys.executable, __file__],
        input=json.dumps({"action": action, **request}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode == 3:
        raise Refused(done.stdout)
    assert done.returncode == 0, f"{action}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout)


def lint(helm, values):
    return helm.lint(CHART, values, strict=True)


def render(helm, values):
    with helm.Chart.load(CHART) as chart:
        return chart.render(values, name="access", namespace="access")


def install(helm, values, kubeconfig, namespace):
    with helm.Config(kubeconfig_content=kubeconfig, namespace=namespace) as config:
        return config.install(CHART, "access", values, namespace=namespace, create_namespace=True)


def uninstall(helm, kubeconfig, namespace):
    with helm.Config(kubeconfig_content=kubeconfig, namespace=namespace) as config:
        return config.uninstall("access")


def main():
    import helm_python as helm

    request = json.load(sys.stdin)
    action = {"lint": lint, "render": render, "install": install, "uninstall": uninstall}[request.pop("action")]
    try:
        print(json.dumps(action(helm, **request)))
    except helm.HelmError as error:
        print(error)
        raise SystemExit(3) from None


if __name__ == "__main__":
    main()
