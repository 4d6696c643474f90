"""The chart, installed once for all tests of this folder, and gone afterwards: no other operator may run meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.chart import release
from tests.integration.chart.release import NAMESPACE, ROOT, USERS, apply, ask, credentials, do, helm, namespace


@pytest.fixture(scope="session")
def image() -> str:
    """Return the name of the image of this checkout, which the lab's node has."""
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("KUBECONFIG is not set: run this as `hack/lab exec -- pytest tests/integration/chart`")
    do(str(ROOT / "hack" / "lab"), "build", "helm")
    # The lab's network leads nowhere, so the image was made outside before: here it is found in the cache.
    built = subprocess.run(
        [str(ROOT / "hack" / "images" / "build"), "--load"], capture_output=True, text=True, check=False
    )
    if built.returncode != 0:
        pytest.fail(f"run `hack/images/build` outside of the lab first:\n{built.stderr}")
    return built.stdout.split()[-1]


@pytest.fixture(scope="session")
def hypervisor() -> dict[str, str]:
    """Return where libvirtd listens for TLS, and the client's certificates."""
    found: dict[str, dict[str, str]] = json.loads(do(str(ROOT / "hack" / "lab"), "status", "--json"))
    return found["libvirt"]


@pytest.fixture(scope="session")
def installed(image: str, hypervisor: dict[str, str]) -> Iterator[str]:
    """Install the chart where Pod Security `restricted` is enforced; remove what is left of it at the end."""
    leases = [d for d in release.read("leases", "-A")["items"] if d["metadata"]["name"] == "vmclone-operator"]
    holders = [d["spec"].get("holderIdentity") for d in leases]
    assert not any(holders), f"another operator runs: {holders}"
    restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
    assert apply(namespace(NAMESPACE, **restricted), namespace(USERS)).status == 0
    assert apply(credentials(Path(hypervisor["clientPKI"]))).status == 0
    # The API tests may have put the definitions there by hand: Helm takes them over.
    answer = helm("install", "--take-ownership", "--force-conflicts", image=image)
    assert answer.status == 0, answer.text
    yield image
    ask("kubectl", "-n", USERS, "delete", "vmclones", "--all", "--timeout=60s")
    ask("kubectl", "delete", "clonebackends,clonesources", "-l", "chart=test", "--timeout=30s")
    ask("helm", "uninstall", release.RELEASE, "--namespace", NAMESPACE, "--no-hooks", "--ignore-not-found")
    ask("kubectl", "delete", "namespace", NAMESPACE, USERS, "--timeout=60s")
