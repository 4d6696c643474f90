"""An operator process and the namespaces around it, on the lab's real API server."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.fleet import wishes
from tests.fleet.installation import Installation
from tests.fleet.measuring import calm
from tests.integration.leaders.operators import ROOT, Place
from tests.support.cluster_cli import kubectl, wait_until

SOURCES = 20
_START_SECONDS = 120


@contextmanager
def installed(sources: int) -> Iterator[tuple[Installation, list[str]]]:
    """Yield an operator at rest, alone in the cluster, and the CloneSources that it knows."""
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("KUBECONFIG is not set: run this as `hack/test fleet`, or in the lab with `hack/lab exec`")
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(ROOT / "crds"))
    name, log = f"fleet-{os.getpid()}", Path(os.environ["KUBECONFIG"]).parent / "logs" / "audit.log"
    names = [f"{name}-{number}" for number in range(sources)]
    with tempfile.TemporaryDirectory() as folder:
        place = Place(namespace=name, users=f"{name}-users", folder=Path(folder), audit_log=log)
        items = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n}} for n in (name, place.users)]
        kubectl("apply", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
        wishes.platform(name, names)
        installation = Installation(place)
        try:
            wait_until("the operator leads", lambda: installation.leads(name), _START_SECONDS)
            calm(installation)
            yield installation, names
        finally:
            installation.stop()
            print(installation.last_words())  # noqa: T201  - pytest shows it when the test failed
            _remove(place, names)


@pytest.fixture
def fleet() -> Iterator[tuple[Installation, list[str]]]:
    """Return an operator at rest and the CloneSources that it knows."""
    with installed(SOURCES) as found:
        yield found


def _remove(place: Place, sources: list[str]) -> None:
    """Remove what is left; the hypervisor was the operator's memory."""
    wishes.drop_all(place.users)
    kubectl("delete", "clonesources", *sources, "--wait=false", "--ignore-not-found")
    kubectl("delete", "clonebackend", place.namespace, "--wait=false", "--ignore-not-found")
    kubectl("delete", "namespace", place.namespace, place.users, "--wait=false", "--ignore-not-found")
