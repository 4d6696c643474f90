"""Argo CD 3.1.16 as processes in the lab: controller, repo-server, API server and redis, all on loopback."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.integration.truth_table.readers import HEALTH_SCRIPT
from tests.support.cluster_cli import kubectl, wait_until

from vmclone_lab.gotools import TOOLS, find_go, source_of
from vmclone_lab.layout import Layout
from vmclone_operator.api.crds import KINDS

NAMESPACE = "argocd"
_VERSION = {"group": "vmclone.dev", "version": "v1alpha1"}
GROUP = "argoproj.io/v1alpha1"
REDIS, REPOSITORIES, API = 16379, 18081, 18080
STOP_SECONDS = 20
RECONCILE_SECONDS = 5


@dataclass(frozen=True, slots=True)
class ArgoCD:
    """A running Argo CD."""

    program: Path
    folder: Path

    def ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run its command line against its API server."""
        argv = [str(self.program), *words, "--server", f"127.0.0.1:{API}", "--plaintext", "--auth-token", "none"]
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, env=_environment(self))

    def offered(self, application: str, resource: dict[str, str]) -> set[str]:
        """Return the actions that its page offers for a resource: its command line knows those in Git alone."""
        query = urlencode({**_VERSION, **resource})
        _status, answer = _call(f"{application}/resource/actions?{query}")
        return {one["name"] for one in answer["actions"] if not one.get("disabled")}

    def act(self, application: str, resource: dict[str, str], action: str) -> tuple[int, str]:
        """Run an action as its page does; return the status and what is said of a failure."""
        body = {**_VERSION, **resource, "name": application, "action": action}
        number, answer = _call(f"{application}/resource/actions/v2", body)
        return number, answer.get("message", "")

    def health(self, application: str) -> dict[str, dict[str, str]]:
        """Return the health of each VMClone in the Application's tree, by name."""
        _status, tree = _call(f"{application}/resource-tree")
        return {node["name"]: node["health"] for node in tree["nodes"] if node["kind"] == "VMClone"}


def _call(path: str, body: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
    """Return the status and the answer of Argo CD's API, as its page reads them."""
    connection = HTTPConnection("127.0.0.1", API, timeout=60)
    try:
        data = None if body is None else json.dumps(body)
        how = "GET" if body is None else "POST"
        connection.request(how, f"/api/v1/applications/{path}", data, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        found: dict[str, Any] = json.loads(answer.read())
        return answer.status, found
    finally:
        connection.close()


def _environment(argo: ArgoCD) -> dict[str, str]:
    places = dict.fromkeys(("HOME", "TMPDIR", "ARGOCD_TLS_DATA_PATH", "ARGOCD_SSH_DATA_PATH"), str(argo.folder))
    return {**os.environ, **places, "ARGOCD_FAKE_IN_CLUSTER": "true", "ARGOCD_GPG_ENABLED": "false"}


def install() -> None:
    """Put on the API server what Argo CD reads there: its kinds, its settings with our scripts, its project."""
    crds = source_of(TOOLS["argocd"], find_go()) / "manifests" / "crds"
    files = (crds / f"{name}-crd.yaml" for name in ("application", "applicationset", "appproject"))
    kubectl("apply", "--server-side", *(word for file in files for word in ("-f", str(file))))
    kinds = [f"{kind}.argoproj.io" for kind in ("applications", "applicationsets", "appprojects")]
    conditions = 'jsonpath={.items[*].status.conditions[?(@.type=="Established")].status}'
    # Not `kubectl wait`: it fails on a kind that is so new that it has no conditions yet.
    wait_until("its kinds are served", lambda: kubectl("get", "crd", *kinds, "-o", conditions) == "True True True", 60)
    script = HEALTH_SCRIPT.read_text()
    settings = {f"resource.customizations.health.vmclone.dev_{kind.name}": script for kind in KINDS}
    for kind, file in {"VMClone": "actions.yaml", "VMCloneReplica": "replica-actions.yaml"}.items():
        settings[f"resource.customizations.actions.vmclone.dev_{kind}"] = HEALTH_SCRIPT.with_name(file).read_text()
    keys = {"server.secretkey": "x" * 32, "admin.password": "x", "admin.passwordMtime": "2026-01-01T00:00:00Z"}
    anywhere = {"destinations": [{"namespace": "*", "server": "*"}], "sourceRepos": ["*"]}
    empty = ("argocd-rbac-cm", "argocd-ssh-known-hosts-cm", "argocd-tls-certs-cm", "argocd-gpg-keys-cm")
    apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        _own("v1", "ConfigMap", "argocd-cm", data=settings),
        *(_own("v1", "ConfigMap", name, data={}) for name in empty),
        _own("v1", "Secret", "argocd-secret", stringData=keys),
        _own(GROUP, "AppProject", "default", spec=anywhere),
    )


def apply(*objects: dict[str, Any]) -> None:
    """Apply objects."""
    given = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", given=given)


def _own(api: str, kind: str, name: str, **rest: object) -> dict[str, Any]:
    labels = {"app.kubernetes.io/part-of": "argocd"}
    return {
        "apiVersion": api,
        "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        **rest,
    }


@contextmanager
def running(folder: Path) -> Iterator[ArgoCD]:
    """Start Argo CD; end it, and take its namespace away, afterwards."""
    tool = TOOLS["argocd"]
    argo = ArgoCD(Layout.from_environment(os.environ).cache / tool.cache_key() / "argocd", folder)
    install()
    redis = ["--redis", f"127.0.0.1:{REDIS}"]
    kube = ["--kubeconfig", os.environ["KUBECONFIG"], "--namespace", NAMESPACE, *redis]
    kube += ["--repo-server", f"127.0.0.1:{REPOSITORIES}", "--repo-server-plaintext"]
    resync = ["--app-resync", str(RECONCILE_SECONDS), "--app-resync-jitter", "0"]
    here = ["--address", "127.0.0.1"]
    programs = {
        "argocd-repo-server": [*redis, *here, "--port", str(REPOSITORIES), "--metrics-port", "18084", "--disable-tls"],
        "argocd-application-controller": [*kube, *resync, "--metrics-port", "18082"],
        "argocd-server": [*kube, *here, "--port", str(API), "--metrics-port", "18083", "--insecure", "--disable-auth"],
    }
    store = ["redis-server", "--port", str(REDIS), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    started = [_start(argo, "redis", store)]
    try:
        started += [_start(argo, name, [str(argo.program), *words]) for name, words in programs.items()]
        yield argo
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(STOP_SECONDS)
        kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def _start(argo: ArgoCD, name: str, argv: list[str]) -> subprocess.Popen[bytes]:
    with (argo.folder / f"{name}.log").open("wb") as log:
        environment = {**_environment(argo), "ARGOCD_BINARY_NAME": name}
        return subprocess.Popen(argv, env=environment, stdout=log, stderr=log, cwd=argo.folder)
