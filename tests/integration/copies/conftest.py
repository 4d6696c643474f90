"""A source, seven machines for its clones, and an operator whose Jobs a real kubelet runs."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.copies.machines import Machine, make_key, make_user, run
from tests.integration.copies.site import NAMESPACES, OPERATOR, ROOT, SOURCE, Site
from tests.support.cluster_cli import kubectl

FIRST_ADDRESS = 101
CLONES = 7


@pytest.fixture(scope="session")
def image() -> str:
    """Return the home-copy image of this checkout, which the lab's node has."""
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("KUBECONFIG is not set: run this as `hack/lab exec -- pytest tests/integration/copies`")
    build = [str(ROOT / "hack" / "images" / "build"), "--load", "home-copy"]
    return subprocess.run(build, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


@pytest.fixture(scope="module")
def machines() -> Iterator[list[Machine]]:
    """The source and the machines of its clones, where their user may pass: pytest closes its own folders.

    Until the module ends, as the operator: no other one may run beside it.
    """
    base = Path(tempfile.mkdtemp(prefix="vmclone-machines-", dir="/var/tmp"))
    base.chmod(0o755)
    user, home = make_user(base)
    made = [Machine(base / f"m{n}", user, f"10.90.0.{FIRST_ADDRESS + n}", 22) for n in range(CLONES + 1)]
    ready: list[Machine] = []
    try:
        for machine in made:
            machine.prepare(home)
            ready.append(machine)
            machine.start()
        yield made
    finally:
        for machine in ready:
            machine.leave()
        made[0].end_processes()
        run("userdel", user)
        shutil.rmtree(base)


@pytest.fixture(scope="module")
def site(machines: list[Machine], image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The objects, and an operator that knows the machines."""
    leases = json.loads(kubectl("get", "leases", "-A", "-o", "json"))["items"]
    holders = [d["spec"].get("holderIdentity") for d in leases if d["metadata"]["name"] == "vmclone-operator"]
    assert not any(holders), f"another operator runs: {holders}"
    folder = tmp_path_factory.mktemp("operator")
    source, *clones = machines
    source.authorize(make_key(folder / "source_key"))
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(ROOT / "crds"))
    _apply(_objects(source, (folder / "source_key").read_text()))
    hosts = folder / "hosts.json"
    hosts.write_text(json.dumps([{"folder": str(m.folder), "address": m.address} for m in clones]))
    made = Site(source=source, clones=clones, folder=folder)
    with (folder / "operator.log").open("wb") as log, (folder / "hosts.log").open("wb") as taken:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.copies.operator_with_machines", str(hosts), *_arguments(image)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"},
            stdin=subprocess.DEVNULL,
            stdout=taken,
            stderr=log,
        )
        try:
            yield made
            made.remove_wishes()
        finally:
            process.terminate()
            process.wait(40)
            _remove()


def _arguments(image: str) -> list[str]:
    return ["--namespace", OPERATOR, "--identity", "copies", "--allow-fake", "--home-copy-image", image]


def _objects(source: Machine, key: str) -> list[dict[str, Any]]:
    api, anybody = "vmclone.dev/v1alpha1", {"from": "All"}
    restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
    home = {
        "user": source.user,
        "address": source.address,
        "sshKeySecretRef": {"name": "source-key"},
        "knownHosts": [source.host_key],
        "authorizedKeys": [],
    }
    spec = {
        "backend": {"name": SOURCE},
        "vm": {"name": "golden"},
        "modes": ["Clean"],
        "images": [{"backend": SOURCE, "volume": "golden.qcow2"}],
        "home": home,
        "allowedNamespaces": anybody,
    }
    data = {"ssh-privatekey": base64.b64encode(key.encode()).decode()}
    backend = {"fake": {"bootSeconds": 0}, "allowedNamespaces": anybody, "limits": {"maxInFlight": 100}}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OPERATOR, "labels": restricted}},
        *({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in NAMESPACES),
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "source-key", "namespace": OPERATOR}, "data": data},
        {"apiVersion": api, "kind": "CloneBackend", "metadata": {"name": SOURCE}, "spec": backend},
        {"apiVersion": api, "kind": "CloneSource", "metadata": {"name": SOURCE}, "spec": spec},
    ]


def _apply(objects: list[dict[str, Any]]) -> None:
    kubectl("apply", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))


def _remove() -> None:
    for namespace in NAMESPACES:
        for found in kubectl("get", "vmclonereplicas,vmclones", "-n", namespace, "-o", "name").split():
            kubectl("patch", found, "-n", namespace, "--type=merge", "-p", '{"metadata":{"finalizers":[]}}')
    kubectl("delete", "clonesource,clonebackend", SOURCE, "--ignore-not-found")
    kubectl("delete", "namespace", OPERATOR, *NAMESPACES, "--timeout=90s", "--ignore-not-found")
