"""What the engine relies on in an API server; the in-memory one must answer just like the real one."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.support import manifests

from vmclone_operator.kube.cluster import Cluster, Conflict, Document, Gone, Key, Kind, key_of

pytestmark = pytest.mark.apiserver
Ask = Callable[[Callable[[Cluster], Awaitable[Any]]], Any]


async def made(cluster: Cluster) -> Document:
    name = f"t-{secrets.token_hex(4)}"
    return await cluster.create(Kind.VMCLONE, manifests.vmclone(name, "kube-tests"))


async def gone(cluster: Cluster, key: Key) -> bool:
    for _ in range(50):
        if await cluster.get(key) is None:
            return True
        await asyncio.sleep(0.02)
    return False


def test_a_created_object_has_an_identity_and_says_it_was_not_seen(ask: Ask) -> None:
    """A new object has uid, generation 1 and observedGeneration -1, so that no reader takes it for current."""
    document = ask(made)
    meta = document["metadata"]
    assert meta["uid"]
    assert meta["generation"] == 1
    assert document["status"] == {"observedGeneration": -1}


def test_a_name_is_taken_once(ask: Ask) -> None:
    """Creating twice is a conflict, never a second object."""

    async def scenario(cluster: Cluster) -> None:
        first = await made(cluster)
        with pytest.raises(Conflict):
            await cluster.create(Kind.VMCLONE, manifests.vmclone(first["metadata"]["name"], "kube-tests"))

    ask(scenario)


def test_a_status_write_moves_the_version_and_nothing_else(ask: Ask) -> None:
    """The generation and the spec stay: a status write never looks like a user's change."""

    async def scenario(cluster: Cluster) -> tuple[Document, Document]:
        first = await made(cluster)
        return first, await cluster.write_status(Kind.VMCLONE, first, {"observedGeneration": 1, "replicas": 2})

    first, second = ask(scenario)
    assert second["status"] == {"observedGeneration": 1, "replicas": 2}
    assert second["spec"] == first["spec"]
    assert second["metadata"]["generation"] == 1
    assert second["metadata"]["resourceVersion"] != first["metadata"]["resourceVersion"]


def test_a_stale_document_writes_nothing(ask: Ask) -> None:
    """The second of two writers from the same read is refused."""

    async def scenario(cluster: Cluster) -> Document | None:
        first = await made(cluster)
        await cluster.write_status(Kind.VMCLONE, first, {"observedGeneration": 1})
        with pytest.raises(Conflict):
            await cluster.write_status(Kind.VMCLONE, first, {"observedGeneration": 7})
        with pytest.raises(Conflict):
            await cluster.write_finalizers(Kind.VMCLONE, first, ["vmclone.dev/teardown"])
        return await cluster.get(key_of(Kind.VMCLONE, first))

    assert ask(scenario)["status"] == {"observedGeneration": 1}


def test_a_finalizer_holds_the_object_until_it_is_dropped(ask: Ask) -> None:
    """Deletion marks the object; dropping the last finalizer ends it."""

    async def scenario(cluster: Cluster) -> tuple[Document | None, bool]:
        first = await made(cluster)
        held = await cluster.write_finalizers(Kind.VMCLONE, first, ["vmclone.dev/teardown"])
        await cluster.delete(Kind.VMCLONE, held)
        marked = await cluster.get(key_of(Kind.VMCLONE, first))
        await cluster.write_finalizers(Kind.VMCLONE, marked or held, [])
        return marked, await gone(cluster, key_of(Kind.VMCLONE, first))

    marked, ended = ask(scenario)
    assert marked["metadata"]["deletionTimestamp"]
    assert ended


def test_another_object_of_the_same_name_is_not_deleted(ask: Ask) -> None:
    """A deletion names the uid it means."""

    async def scenario(cluster: Cluster) -> Document | None:
        first = await made(cluster)
        await cluster.delete(Kind.VMCLONE, first)
        assert await gone(cluster, key_of(Kind.VMCLONE, first))
        await cluster.create(Kind.VMCLONE, manifests.vmclone(first["metadata"]["name"], "kube-tests"))
        await cluster.delete(Kind.VMCLONE, first)
        return await cluster.get(key_of(Kind.VMCLONE, first))

    assert ask(scenario) is not None


def test_writing_to_what_is_gone_says_so(ask: Ask) -> None:
    """A pass that holds a document of a deleted object learns it at its next write."""

    async def scenario(cluster: Cluster) -> None:
        first = await made(cluster)
        await cluster.delete(Kind.VMCLONE, first)
        assert await gone(cluster, key_of(Kind.VMCLONE, first))
        with pytest.raises((Gone, Conflict)):
            await cluster.write_status(Kind.VMCLONE, first, {"observedGeneration": 1})

    ask(scenario)


def test_a_list_is_by_namespace_and_labels(ask: Ask) -> None:
    """Only the replicas of one VMClone come back."""

    async def scenario(cluster: Cluster) -> list[str]:
        document = await made(cluster)
        name, uid = document["metadata"]["name"], document["metadata"]["uid"]
        spec = {"ordinal": 1, "session": name, "vmCloneUID": uid, "backend": "lab"}
        meta = {"name": f"{name}-1", "namespace": "kube-tests", "labels": {"vmclone.dev/vmclone-uid": uid}}
        await cluster.create(Kind.REPLICA, {"metadata": meta, "spec": spec})
        found = await cluster.list(Kind.REPLICA, namespace="kube-tests", labels={"vmclone.dev/vmclone-uid": uid})
        none = await cluster.list(Kind.REPLICA, namespace="kube-tests", labels={"vmclone.dev/vmclone-uid": "x"})
        return [d["metadata"]["name"].removeprefix(name) for d in (*found, *none)]

    assert ask(scenario) == ["-1"]


def test_metadata_are_listed_without_contents(ask: Ask) -> None:
    """Names, labels and uids of Secrets, and nothing of what is in them."""

    async def scenario(cluster: Cluster) -> None:
        labels = {"vmclone.dev/incarnation": secrets.token_hex(8)}
        meta = {"name": f"t-{secrets.token_hex(4)}", "namespace": "kube-tests", "labels": labels}
        made_now = await cluster.create(Kind.SECRET, {"metadata": meta, "data": {"key": "c2VjcmV0"}})
        (found,) = await cluster.list_metadata(Kind.SECRET, namespace="kube-tests", labels=labels)
        assert found["metadata"]["uid"] == made_now["metadata"]["uid"]
        assert found["metadata"]["labels"] == labels
        assert not {"data", "stringData"} & found.keys()
        assert await cluster.list_metadata(Kind.SECRET, namespace="kube-tests", labels={"no": "body"}) == []
        await cluster.delete(Kind.SECRET, made_now)

    ask(scenario)
