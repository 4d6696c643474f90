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
def images() -> dict[str, str]:
    """Return the names of the images of this checkout, which the lab's node has."""
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("KUBECONFIG is not set: run this as `hack/lab exec -- pytest tests/integration/chart`")
    do(str(ROOT / "hack" / "lab"), "build", "helm")
    # The lab's network leads nowhere, so the images were made outside before: here they are found in the cache.
    names = ["operator", "home-copy"]
    argv = [str(ROOT / "hack" / "images" / "build"), "--load", *names]
    built = subprocess.run(argv, capture_output=True, text=True, check=False)
    if built.returncode != 0:
        pytest.fail(f"run `hack/images/build` outside of the lab first:\n{built.stderr}")
    return dict(zip(names, built.stdout.split(), strict=True))


@pytest.fixture(scope="session")
def hypervisor() -> dict[str, str]:
    """Return where libvirtd listens for TLS, and the client's certificates."""
    found: dict[str, dict[str, str]] = json.loads(do(str(ROOT / "hack" / "lab"), "status", "--json"))
    return found["libvirt"]


@pytest.fixture(scope="session")
def installed(images: dict[str, str], hypervisor: dict[str, str]) -> Iterator[dict[str, str]]:
    """Install the chart where Pod Security `restricted` is enforced; remove what is left of it at the end."""
    leases = [d for d in release.read("leases", "-A")["items"] if d["metadata"]["name"] == "vmclone-operator"]
    holders = [d["spec"].get("holderIdentity") for d in leases]
    assert not any(holders), f"another operator runs: {holders}"
    restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
    assert apply(namespace(NAMESPACE, **restricted), namespace(USERS)).status == 0
    assert apply(credentials(Path(hypervisor["clientPKI"]))).status == 0
    try:
        # The API tests may have put the definitions there by hand: Helm takes them over.
        answer = helm("install", "--take-ownership", "--force-conflicts", images=images)
        assert answer.status == 0, f"{answer.text}\n{last_words()}"
        yield images
    finally:
        remove()


def last_words() -> str:
    """Return what the operator's pods said last: Helm only says that they are not ready."""
    return ask("kubectl", "-n", NAMESPACE, "logs", "-l", "app.kubernetes.io/component=operator", "--tail=5").text


def remove() -> None:
    """Remove what a failed test left."""
    ask("kubectl", "-n", USERS, "delete", "vmclones", "--all", "--timeout=60s")
    ask("kubectl", "delete", "clonebackends,clonesources", "-l", "chart=test", "--timeout=30s")
    ask("helm", "uninstall", release.RELEASE, "--namespace", NAMESPACE, "--no-hooks", "--ignore-not-found")
    ask("kubectl", "delete", "namespace", NAMESPACE, USERS, "--timeout=60s")
