"""The fence of the API client: an operator that may have lost the Lease writes nothing, and gives the Lease back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from kubernetes.aio import client

from vmclone_operator.domain.errors import LeadershipLost
from vmclone_operator.kube.client import KubeClient
from vmclone_operator.kube.cluster import Document, Key, Kind, Unavailable

OBJECT: Document = {"metadata": {"namespace": "a", "name": "dev", "uid": "u", "resourceVersion": "1"}}
WRITES: dict[str, Callable[[KubeClient], Coroutine[Any, Any, object]]] = {
    "create": lambda c: c.create(Kind.REPLICA, OBJECT),
    "delete": lambda c: c.delete(Kind.REPLICA, OBJECT),
    "status": lambda c: c.write_status(Kind.VMCLONE, OBJECT, {}),
    "finalizers": lambda c: c.write_finalizers(Kind.VMCLONE, OBJECT, []),
    "labels": lambda c: c.write_labels(Kind.REPLICA, OBJECT, {}),
    "replace": lambda c: c.replace(Kind.SECRET, OBJECT),
}
ALLOWED: dict[str, Callable[[KubeClient], Coroutine[Any, Any, object]]] = {
    "a read": lambda c: c.get(Key(Kind.VMCLONE, "a", "dev")),
    "the Lease": lambda c: c.replace(Kind.LEASE, OBJECT),
}
FENCED = "does not hold the Lease"


def answer(ask: Callable[[KubeClient], Coroutine[Any, Any, object]]) -> str:
    """Ask where no API server is, with a fence that is down; return what was said."""

    async def scenario() -> str:
        configuration = client.Configuration()
        configuration.host = "http://127.0.0.1:9"
        kube = KubeClient(client.ApiClient(configuration))
        kube.fence = lost
        try:
            await ask(kube)
        except Unavailable as error:
            return str(error)
        finally:
            await kube.close()
        return ""

    return asyncio.run(scenario())


def lost() -> None:
    raise LeadershipLost(f"this operator {FENCED} any more")


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_no_write_leaves_an_operator_that_lost_the_lease(write: Callable[[KubeClient], Any]) -> None:
    assert FENCED in answer(write)


@pytest.mark.parametrize("ask", ALLOWED.values(), ids=ALLOWED.keys())
def test_reads_and_the_lease_itself_are_not_held_back(ask: Callable[[KubeClient], Any]) -> None:
    assert "the API server does not answer" in answer(ask)
