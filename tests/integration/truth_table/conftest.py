"""Every row of the truth table as a VMClone on the real API server, and the slow readers already at work on it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from tests.integration.api.conftest import connection, server
from tests.integration.api.server import Server
from tests.integration.truth_table import readers
from tests.integration.truth_table.readers import ROOT, Answer
from tests.integration.truth_table.rows import FINALIZER, ROWS, Row

from vmclone_operator.api import API_VERSION
from vmclone_operator.engine.ledger.written import dumped

__all__ = ["connection", "server"]
AT_ONCE = 8
LEASES = "/apis/coordination.k8s.io/v1/leases"


@dataclass(frozen=True, slots=True)
class Trial:
    """A row on the API server: the object, and what the waiting tools will have said."""

    row: Row
    stored: dict[str, Any]
    kubectl: Future[Answer]
    helm: Future[Answer]


@dataclass(frozen=True, slots=True)
class Programs:
    """What the lab has built."""

    helm: str
    kstatus: str


@pytest.fixture(scope="session")
def programs() -> Programs:
    """Find the lab's programs; without them in the cache, `hack/lab build helm kstatus` outside of the lab."""
    lab = str(ROOT / "hack" / "lab")
    done = subprocess.run([lab, "build", "helm", "kstatus"], check=True, capture_output=True, text=True)
    return Programs(*done.stdout.split())


@pytest.fixture(scope="session")
def namespace(server: Server) -> Iterator[str]:
    """Return a namespace of this run, in a cluster where no operator would correct what the tests write."""
    leases = server.call("GET", LEASES, fieldSelector="metadata.name=vmclone-operator").body["items"]
    assert not [lease for lease in leases if lease["spec"].get("holderIdentity")], "an operator runs"
    name = f"truth-table-{os.getpid()}"
    assert server.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}).status == 201
    yield name
    for row, manifest in zip(ROWS.values(), manifests(name), strict=True):
        if row.deleting:
            server.merge(manifest, {"metadata": {"finalizers": None}})
    answer = readers.ask(["kubectl", "delete", "namespace", name, "--timeout=60s"])
    assert answer.status == 0, answer.text


@pytest.fixture(scope="session")
def trials(
    server: Server, namespace: str, programs: Programs, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Trial]]:
    """Put every row on the API server, and let kubectl and Helm wait for many of them at once."""
    folder = tmp_path_factory.mktemp("charts")
    with ThreadPoolExecutor(AT_ONCE) as pool:

        def begin(row: Row, manifest: dict[str, Any]) -> Trial:
            stored, meta = put(server, row, manifest), manifest["metadata"]
            chart = readers.chart(folder / meta["name"], manifest | {"spec": stored["spec"]})
            return Trial(
                row=row,
                stored=stored,
                kubectl=pool.submit(readers.kubectl_wait, meta, settles=row.current),
                helm=pool.submit(readers.helm_wait, programs.helm, chart, meta, settles=row.settles),
            )

        yield {name: begin(row, m) for (name, row), m in zip(ROWS.items(), manifests(namespace), strict=True)}


def manifests(namespace: str) -> Iterator[dict[str, Any]]:
    """Return what a user would have applied for each row."""
    for number, row in enumerate(ROWS.values()):
        spec = {"source": {"name": "golden-dev"}, **row.spec}
        meta = {"name": f"row-{number}", "namespace": namespace}
        yield {"apiVersion": API_VERSION, "kind": "VMClone", "metadata": meta, "spec": spec}


def put(server: Server, row: Row, manifest: dict[str, Any]) -> dict[str, Any]:
    """Bring an object into the row's state; return it as the API server has it then."""
    answer = server.create(manifest)
    assert answer.status == 201, answer.body
    if row.status is not None:
        answer = server.merge(manifest, {"status": dumped(row.status(answer.body))}, part="status")
        assert answer.status == 200, answer.body
    if row.changed:
        assert server.merge(manifest, {"spec": row.changed}).status == 200
    if row.deleting:
        assert server.merge(manifest, {"metadata": {"finalizers": [FINALIZER]}}).status == 200
        server.delete(manifest)
    return server.get(manifest)
