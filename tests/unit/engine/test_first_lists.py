"""What an operator knows before its first pass: half a cache would make it write what is not so."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest
from tests.crash.lives import begin
from tests.support.memory_cluster import MemoryCluster

from vmclone_operator.engine.resync import relist
from vmclone_operator.kube.cluster import Document, Kind, Unavailable
from vmclone_operator.providers.fake import FaultSchedule


class DeafTo(MemoryCluster):
    """An API server that does not list one kind."""

    kind: Kind

    async def list(
        self, kind: Kind, *, namespace: str = "", labels: Mapping[str, str] | None = None
    ) -> Sequence[Document]:
        if kind is self.kind:
            raise Unavailable("etcd is slow")
        return await super().list(kind, namespace=namespace, labels=labels)


@pytest.mark.parametrize("kind", [Kind.BACKEND, Kind.SOURCE, Kind.VMCLONE, Kind.REPLICA])
def test_not_everything_is_known_while_one_kind_is_not_listed(kind: Kind) -> None:
    sim = begin(FaultSchedule())
    cluster = DeafTo(now=lambda: "2026-01-01T00:00:00Z")
    cluster.kind = kind
    sim.engine.cluster = cluster
    assert not asyncio.run(relist(sim.engine))


def test_everything_is_known_once_every_kind_was_listed() -> None:
    sim = begin(FaultSchedule())
    assert asyncio.run(relist(sim.engine))
    assert set(sim.engine.heard) >= {Kind.BACKEND, Kind.SOURCE, Kind.VMCLONE, Kind.REPLICA}
