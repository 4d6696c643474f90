"""The same cluster questions to the API server in memory and to the lab's real one."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.memory_cluster import MemoryCluster

from vmclone_operator.kube.client import connect
from vmclone_operator.kube.cluster import Cluster

ROOT = Path(__file__).parents[3]
Scenario = Callable[[Cluster], Coroutine[Any, Any, Any]]


@pytest.fixture(scope="package")
def crds() -> Iterator[None]:
    """Install the checked-in CRDs and the namespace the tests write to; it goes before other tests' operators begin."""
    for arguments in (
        ["apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds")],
        ["wait", "--for=condition=Established", "--timeout=30s", "-f", str(ROOT / "crds")],
        ["apply", "--server-side", "-f", str(ROOT / "tests/integration/kube/namespace.yaml")],
    ):
        subprocess.run(["kubectl", *arguments], check=True, capture_output=True)
    yield
    subprocess.run(["kubectl", "delete", "namespace", "kube-tests", "--timeout=60s"], check=True, capture_output=True)


@pytest.fixture(params=["memory", "real"])
def ask(request: pytest.FixtureRequest) -> Callable[[Scenario], Any]:
    """Return a function that runs a scenario against a cluster."""
    if request.param == "memory":
        return lambda scenario: asyncio.run(scenario(MemoryCluster(now=lambda: "2026-01-01T00:00:00Z")))
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("KUBECONFIG is not set: run this as `hack/lab exec -- pytest tests/integration/kube`")
    request.getfixturevalue("crds")
    return lambda scenario: asyncio.run(_against_the_real_one(scenario))


async def _against_the_real_one(scenario: Scenario) -> Any:
    client = await connect()
    try:
        return await scenario(client)
    finally:
        await client.close()
