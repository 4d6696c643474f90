"""An older definition is refused with the fields it lacks and the command that helps; a newer one is fine."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.memory_cluster import MemoryCluster

from vmclone_operator.api.crds import HASH_ANNOTATION, KINDS, crd
from vmclone_operator.kube.cluster import Document, Key, Kind, Unavailable
from vmclone_operator.kube.served import KindsUnfit, demand_kinds, problem_of, stale_kinds

OURS = crd(KINDS[0])
ESTABLISHED = {"conditions": [{"type": "Established", "status": "True"}]}


def served(change: Callable[[Any], None] = lambda _: None) -> Any:
    document = {**copy.deepcopy(OURS), "status": copy.deepcopy(ESTABLISHED)}
    change(document)
    return document


def fields(document: Any, part: str) -> Any:
    return document["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][part]["properties"]


def another_hash(document: Any) -> None:
    document["metadata"]["annotations"][HASH_ANNOTATION] = "0" * 16


def older(document: Any) -> None:
    another_hash(document)
    del fields(document, "status")["summary"]


def newer(document: Any) -> None:
    another_hash(document)
    fields(document, "status")["later"] = {"type": "string"}


def not_established(document: Any) -> None:
    document["status"]["conditions"][0]["status"] = "False"


def by_hand(document: Any) -> None:
    del document["metadata"]["annotations"]


ROWS: dict[str, tuple[Callable[[Any], None], str]] = {
    "the same one is fine": (lambda _: None, ""),
    "an older one names what it lacks": (older, "is older than this operator: it lacks v1alpha1.status.summary"),
    "a newer one has all we need": (newer, ""),
    "one without our annotation is compared by its fields": (by_hand, ""),
    "one that is not served yet is not fine": (not_established, "is not established yet"),
}


@pytest.mark.parametrize(("change", "problem"), ROWS.values(), ids=ROWS.keys())
def test_what_is_wrong_with_a_served_definition(change: Callable[[Any], None], problem: str) -> None:
    assert problem_of(served(change), OURS) == problem


def test_every_kind_is_asked_for() -> None:
    cluster = MemoryCluster(now=lambda: "2026-01-01T00:00:00Z")
    missing = asyncio.run(stale_kinds(cluster))
    assert missing == [f"CustomResourceDefinition {kind.crd_name} is not installed" for kind in KINDS]
    for kind in KINDS:
        cluster.apply(Kind.CRD, crd(kind))
        made = asyncio.run(cluster.list(Kind.CRD))[-1]
        assert made["metadata"]["name"]
    for document in asyncio.run(cluster.list(Kind.CRD)):
        asyncio.run(cluster.write_status(Kind.CRD, document, ESTABLISHED))
    assert asyncio.run(stale_kinds(cluster)) == []


def test_a_kind_that_is_gone_ends_the_operator_with_what_to_run() -> None:
    cluster = MemoryCluster(now=lambda: "2026-01-01T00:00:00Z")
    with pytest.raises(KindsUnfit, match="run: kubectl apply --server-side"):
        asyncio.run(demand_kinds(cluster))


class Away(MemoryCluster):
    """An API server that answers nobody."""

    async def get(self, key: Key) -> Document | None:
        raise Unavailable(f"{key} can not be asked for")


def test_an_api_server_that_is_away_says_nothing_of_the_kinds() -> None:
    asyncio.run(demand_kinds(Away(now=lambda: "2026-01-01T00:00:00Z")))
