"""A namespace for operators, one for their users, a fake backend, and the operators that a test started."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.leaders.operators import ROOT, Operator, Place
from tests.support.cluster_cli import kubectl

Start = Callable[..., Operator]


@pytest.fixture(scope="session")
def audit_log() -> Path:
    """Return the audit log of the lab's API server."""
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("KUBECONFIG is not set: run this as `hack/lab exec -- pytest tests/integration/leaders`")
    lab = Path(os.environ["KUBECONFIG"]).parent
    return lab / "logs" / "audit.log"


@pytest.fixture
def place(request: pytest.FixtureRequest, audit_log: Path) -> Iterator[Place]:
    """Return a fresh place; everything of it goes afterwards, by kubectl and without an operator."""
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(ROOT / "crds"))
    name = f"leaders-{os.getpid()}-{abs(hash(request.node.name)) % 10_000}"
    with tempfile.TemporaryDirectory() as folder:
        made = Place(namespace=name, users=f"{name}-users", folder=Path(folder), audit_log=audit_log)
        kubectl("apply", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": _objects(made)}))
        yield made
        _remove(made)


@pytest.fixture
def start(place: Place) -> Iterator[Start]:
    """Return a function that starts an operator; all of them end with the test."""
    started: list[Operator] = []

    def begin(identity: str, *more: str, **how: Any) -> Operator:
        started.append(Operator(place, identity, *more, **how))
        return started[-1]

    yield begin
    print(place.what_is_left())  # noqa: T201  - pytest shows it when the test failed
    for operator in started:
        print(operator.last_words())  # noqa: T201
        operator.end()


def _objects(place: Place) -> list[dict[str, object]]:
    api, anybody = "vmclone.dev/v1alpha1", {"from": "All"}
    names = (place.namespace, place.users)
    namespaces: list[dict[str, object]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names
    ]
    return [
        *namespaces,
        {
            "apiVersion": api,
            "kind": "CloneBackend",
            "metadata": {"name": place.namespace},
            "spec": {"fake": {"bootSeconds": 1}, "allowedNamespaces": anybody},
        },
        {
            "apiVersion": api,
            "kind": "CloneSource",
            "metadata": {"name": place.namespace},
            "spec": {
                "backend": {"name": place.namespace},
                "vm": {"name": "golden"},
                "modes": ["Disk"],
                "allowedNamespaces": anybody,
            },
        },
    ]


def _remove(place: Place) -> None:
    """Remove what is left, finalizers too: the hypervisor was a file."""
    for kind in ("vmclonereplicas", "vmclones"):
        names = kubectl("get", kind, "-n", place.users, "-o", "name", check=False).split()
        for found in names:
            kubectl(
                "patch", found, "-n", place.users, "--type=merge", "-p", '{"metadata":{"finalizers":[]}}', check=False
            )
        if names:
            kubectl("delete", *names, "-n", place.users, "--wait=false", "--ignore-not-found", check=False)
    kubectl("delete", "clonesource,clonebackend", place.namespace, "--ignore-not-found")
    kubectl("delete", "namespace", place.namespace, place.users, "--timeout=50s", "--ignore-not-found")
