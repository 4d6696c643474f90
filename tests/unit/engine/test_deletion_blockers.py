"""What a VMClone that goes says of its replicas: blockers at once, mere waiting only when it takes long."""

from __future__ import annotations

import pytest

from vmclone_operator.api import FINALIZER
from vmclone_operator.engine.removal.deletion_blockers import Removal, of_replicas
from vmclone_operator.kube.cluster import Document


def going(reason: str = "", message: str = "", finalizer: str = FINALIZER) -> Document:
    told = [{"type": "Deleting", "status": "True", "reason": reason, "message": message}] if reason else []
    meta = {"name": "dev-1", "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": [finalizer]}
    return {"metadata": meta, "status": {"conditions": told}}


SAID = {
    "nothing but that it takes its time": (
        going(),
        Removal(reason="WaitingForReplica", message="1 replica is being removed", plain=True),
    ),
    "what a replica waits for": (
        going("Removing", "waits for the pod of Job x"),
        Removal(reason="WaitingForReplica", message="1 replica is being removed; dev-1 waits for the pod of Job x"),
    ),
    "what blocks it": (
        going("BackendUnreachable", "no answer"),
        Removal(reason="BackendUnreachable", message="1 replica is being removed; dev-1: no answer", blocked=True),
    ),
}


@pytest.mark.parametrize(("replica", "said"), SAID.values(), ids=SAID.keys())
def test_a_removal_says(replica: Document, said: Removal) -> None:
    assert of_replicas([replica]) == said
