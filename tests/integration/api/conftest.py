"""The lab's API server with the checked-in CRDs, and a namespace for the objects of a run."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from kubernetes import config
from tests.integration.api.server import Server

ROOT = Path(__file__).parents[3]
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest.fixture(scope="session")
def connection() -> Iterator[Server]:
    """Connect as KUBECONFIG says; `hack/lab exec` sets it."""
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("KUBECONFIG is not set: run this as `hack/lab exec -- pytest -m apiserver`")
    with config.new_client_from_config() as api_client:
        yield Server(api_client)


@pytest.fixture(scope="session")
def server(connection: Server) -> Server:
    """Install the checked-in CRDs; they stay, because other tests of the lab use them too."""
    paths = []
    for file in sorted((ROOT / "crds").glob("*.yaml")):
        crd = yaml.safe_load(file.read_text())
        paths.append(f"{CRDS}/{crd['metadata']['name']}")
        answer = connection.call("PATCH", paths[-1], body=crd, fieldManager="vmclone-tests", force="true")
        assert answer.status in {200, 201}, answer.body["message"]
    deadline = time.monotonic() + 20
    while not all(_served(connection, path) for path in paths):
        assert time.monotonic() < deadline, "the API server does not serve the CRDs"
        time.sleep(0.05)
    return connection


@pytest.fixture(scope="session")
def namespace(server: Server) -> Iterator[str]:
    """Return a namespace of this run."""
    name = f"api-tests-{os.getpid()}"
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    assert server.create(manifest).status == 201
    yield name
    server.delete(manifest)


def _served(server: Server, path: str) -> bool:
    """Return whether the API server takes objects of a CRD: it says Established a moment before it does."""
    crd = server.call("GET", path).body
    states = {condition["type"]: condition["status"] for condition in crd.get("status", {}).get("conditions", ())}
    spec = crd["spec"]
    listing = f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}"
    return states.get("Established") == "True" and server.call("GET", listing, limit="1").status == 200
