"""A namespace of the real API server, and the plugin as people run it there, over the real kubectl."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.integration.api.conftest import connection, server
from tests.integration.api.server import Server

from vmclone_operator.api import API_VERSION

__all__ = ["connection", "server"]
ROOT = Path(__file__).parents[3]
COMMAND_SECONDS = 60

Plugin = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def namespace(server: Server) -> Iterator[str]:
    """Return a namespace of this run."""
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"plugin-tests-{os.getpid()}"}}
    assert server.create(manifest).status == 201
    yield manifest["metadata"]["name"]  # type: ignore[index]
    server.delete(manifest)


@pytest.fixture
def plugin(namespace: str) -> Plugin:
    """Run one command of the plugin in the namespace."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "vmclone_kubectl", *words, "-n", namespace]
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS, cwd=ROOT)

    return run


@pytest.fixture
def vmclone(server: Server, namespace: str, request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """Make a VMClone under the test's own name; no operator runs, so its status is what the test writes."""
    name = request.node.name[:40].split("[")[0].replace("_", "-").strip("-")
    spec = {"source": {"name": "golden"}, "replicas": 2, "sessionPrefix": "dev"}
    meta = {"name": name, "namespace": namespace}
    manifest = {"apiVersion": API_VERSION, "kind": "VMClone", "metadata": meta, "spec": spec}
    assert server.create(manifest).status == 201
    yield manifest
    server.delete(manifest)


@pytest.fixture
def write_status(server: Server, vmclone: dict[str, Any]) -> Callable[[Mapping[str, Any]], None]:
    """Write what an operator would have written of the VMClone."""

    def write(status: Mapping[str, Any]) -> None:
        generation = server.get(vmclone)["metadata"]["generation"]
        change = {"status": {"observedGeneration": generation, **status}}
        assert server.merge(vmclone, change, part="status").status == 200

    return write
