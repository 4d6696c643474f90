"""Many VMClones at once, made and counted through the real API server by a client that is not the operator."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from vmclone_operator.kube.client import KubeClient, connect
from vmclone_operator.kube.cluster import Document, Key, Kind

_AT_A_TIME = 16


async def _each(names: Sequence[str], act: Callable[[KubeClient, str], Awaitable[object]]) -> None:
    client = await connect("fleet-users")
    gate = asyncio.Semaphore(_AT_A_TIME)

    async def one(name: str) -> None:
        async with gate:
            await act(client, name)

    try:
        await asyncio.gather(*map(one, names))
    finally:
        await client.close()


def make(namespace: str, names: Sequence[str], sources: Sequence[str], *, replicas: int = 1) -> None:
    """Create VMClones, one after the other from each of the sources."""
    wanted = {name: sources[place % len(sources)] for place, name in enumerate(names)}

    async def create(client: KubeClient, name: str) -> None:
        spec: Document = {"source": {"name": wanted[name]}, "replicas": replicas}
        await client.create(Kind.VMCLONE, {"metadata": {"name": name, "namespace": namespace}, "spec": spec})

    asyncio.run(_each(names, create))


def remove(namespace: str, names: Sequence[str]) -> None:
    """Ask for the deletion of VMClones."""

    async def delete(client: KubeClient, name: str) -> None:
        document = await client.get(Key(Kind.VMCLONE, namespace, name))
        if document is not None:
            await client.delete(Kind.VMCLONE, document)

    asyncio.run(_each(names, delete))


def all_of(kind: Kind, namespace: str) -> list[Document]:
    """Return all objects of a kind in a namespace."""

    async def listed() -> list[Document]:
        client = await connect("fleet-users")
        try:
            return list(await client.list(kind, namespace=namespace))
        finally:
            await client.close()

    return asyncio.run(listed())


def ready(namespace: str) -> int:
    """Return how many VMClones are ready."""
    found = 0
    for document in all_of(Kind.VMCLONE, namespace):
        conditions = (document.get("status") or {}).get("conditions") or []
        found += any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return found


async def _at_once(acts: Sequence[Callable[[KubeClient], Awaitable[object]]]) -> None:
    client = await connect("fleet-users")
    try:
        for act in acts:
            await act(client)
    finally:
        await client.close()


def platform(host: str, sources: Sequence[str], *, most: int = 10_000) -> None:
    """Create a fake CloneBackend and CloneSources on it."""
    anybody = {"from": "All"}
    backend = {"metadata": {"name": host}, "spec": {"fake": {"bootSeconds": 0}, "allowedNamespaces": anybody}}
    documents: list[tuple[Kind, Document]] = [(Kind.BACKEND, backend)]
    for name in sources:
        spec = {
            "backend": {"name": host},
            "vm": {"name": name},
            "modes": ["Disk"],
            "allowedNamespaces": anybody,
            "limits": {"maxClones": most, "maxReplicasPerClone": 100},
        }
        documents.append((Kind.SOURCE, {"metadata": {"name": name}, "spec": spec}))

    def creates(kind: Kind, document: Document) -> Callable[[KubeClient], Awaitable[object]]:
        return lambda client: client.create(kind, document)

    asyncio.run(_at_once([creates(*document) for document in documents]))


def is_told(namespace: str, name: str) -> bool:
    """Return whether a VMClone says how it is."""
    found = next((d for d in all_of(Kind.VMCLONE, namespace) if d["metadata"]["name"] == name), None)
    return found is not None and bool((found.get("status") or {}).get("conditions"))


def drop_all(namespace: str) -> None:
    """Remove all VMClones and their replicas without an operator: finalizers first."""
    for kind in (Kind.REPLICA, Kind.VMCLONE):  # else the garbage collector removes replicas meanwhile
        names = [document["metadata"]["name"] for document in all_of(kind, namespace)]

        async def drop(client: KubeClient, name: str, kind: Kind = kind) -> None:
            document = await client.get(Key(kind, namespace, name))
            if document is not None:
                bare = await client.write_finalizers(kind, document, [])
                await client.delete(kind, bare)

        asyncio.run(_each(names, drop))
