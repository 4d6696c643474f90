"""An API server in memory, as strict as the real one where the engine depends on it.

resourceVersion conflicts, uid checks, generation on spec changes only, finalizers, status as a subresource,
garbage collection by controller reference. `tests/integration/kube/test_cluster.py` holds it against the real one.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.support.documents import copied

from vmclone_operator.kube.cluster import Conflict, Document, Gone, Key, Kind, key_of

Watcher = Callable[[Kind, str, Document], None]
"""Is told of every change; what it keeps or changes it copies first."""
Point = Callable[[str], Any]
"""Called around each write with its name; returns a context manager that may fail or kill."""


class MemoryCluster:
    """Implements `Cluster`; `watch` callbacks see every change as the informers would."""

    def __init__(self, *, now: Callable[[], str]) -> None:
        self.documents: dict[Key, Document] = {}
        self.watchers: list[Watcher] = []
        self.writes: list[str] = []
        self.logs: dict[tuple[str, str], str] = {}
        self.around: Callable[[str, Callable[[], Document]], Document] = lambda _, act: act()
        self.before_read: Callable[[], None] = lambda: None
        """May refuse a read."""
        self._now = now
        self._version = 0
        self._uids = 0

    async def get(self, key: Key) -> Document | None:
        self.before_read()
        return copied(self.documents.get(key))

    async def list(
        self, kind: Kind, *, namespace: str = "", labels: Mapping[str, str] | None = None
    ) -> Sequence[Document]:
        self.before_read()
        wanted = (labels or {}).items()
        return [
            copied(self.documents[key])
            for key in sorted((key for key in self.documents if key.kind is kind), key=_place)
            if namespace in ("", key.namespace) and wanted <= self.documents[key]["metadata"].get("labels", {}).items()
        ]

    async def list_named(self, kind: Kind, name: str) -> Sequence[Document]:
        return [d for d in await self.list(kind) if d["metadata"]["name"] == name]

    async def list_metadata(self, kind: Kind, *, namespace: str, labels: Mapping[str, str]) -> Sequence[Document]:
        found = await self.list(kind, namespace=namespace, labels=labels)
        return [{"metadata": document["metadata"]} for document in found]

    async def events_of(self, namespace: str, uid: str) -> Sequence[Document]:
        found = await self.list(Kind.EVENT, namespace=namespace)
        return [document for document in found if document["regarding"].get("uid") == uid]

    async def create(self, kind: Kind, document: Document) -> Document:
        return self.around(f"create {kind.kind}", lambda: self._create(kind, document))

    async def replace(self, kind: Kind, document: Document) -> Document:
        def act() -> Document:
            old = self._current(kind, document)
            return self._store(kind, {**copied(document), "status": old.get("status")}, old)

        return self.around(f"replace {kind.kind}", act)

    async def delete(self, kind: Kind, document: Document) -> None:
        self.around(f"delete {kind.kind}", lambda: self._delete(key_of(kind, document), document["metadata"]["uid"]))

    async def write_status(self, kind: Kind, document: Document, status: Mapping[str, Any]) -> Document:
        def act() -> Document:
            old = self._current(kind, document)
            return self._store(kind, {**old, "status": copied(dict(status))}, old)

        return self.around(f"status {kind.kind}", act)

    async def write_finalizers(self, kind: Kind, document: Document, finalizers: Sequence[str]) -> Document:
        def act() -> Document:
            old = self._current(kind, document)
            meta = {**old["metadata"], "finalizers": [*finalizers]}
            return self._store(kind, {**old, "metadata": meta}, old)

        return self.around(f"finalizers {kind.kind}", act)

    async def pod_log(self, namespace: str, name: str, *, lines: int) -> str:
        self.before_read()
        return "".join(self.logs.get((namespace, name), "").splitlines(keepends=True)[-lines:])

    async def write_labels(self, kind: Kind, document: Document, labels: Mapping[str, str]) -> Document:
        def act() -> Document:
            old = self._current(kind, document)
            return self._store(kind, {**old, "metadata": {**old["metadata"], "labels": dict(labels)}}, old)

        return self.around(f"labels {kind.kind}", act)

    def apply(self, kind: Kind, document: Document) -> Document:
        """Create or change an object as a user would: spec, labels and annotations, never status."""
        old = self.documents.get(key_of(kind, document))
        if old is None:
            return self._create(kind, document)
        meta = {
            **old["metadata"],
            **{k: document["metadata"][k] for k in ("annotations",) if k in document["metadata"]},
        }
        return self._store(kind, {**old, "metadata": meta, "spec": copied(document["spec"])}, old)

    def remove(self, key: Key) -> None:
        """Delete an object as a user would."""
        if key in self.documents:
            self._delete(key, self.documents[key]["metadata"]["uid"])

    def overwrite(self, key: Key, change: Callable[[Document], None]) -> None:
        """Change anything of a live object behind everybody's back."""
        document = copied(self.documents[key])
        change(document)
        self._store(key.kind, document, self.documents[key])

    def _create(self, kind: Kind, document: Document) -> Document:
        key = key_of(kind, document)
        if key in self.documents:
            raise Conflict(f"{key} already exists")
        self._uids += 1
        meta = {
            **copied(document["metadata"]),
            "uid": str(uuid.UUID(int=uuid.uuid5(uuid.NAMESPACE_OID, f"{key}/{self._uids}").int)),
            "creationTimestamp": self._now(),
            "generation": 0,
        }
        made = {"apiVersion": kind.api_version, "kind": kind.kind, **copied(document), "metadata": meta}
        if kind in (Kind.VMCLONE, Kind.REPLICA, Kind.SOURCE, Kind.BACKEND):
            made["status"] = {"observedGeneration": -1}
        return self._store(kind, made, None)

    def _current(self, kind: Kind, document: Document) -> Document:
        old = self.documents.get(key_of(kind, document))
        if old is None:
            raise Gone(f"{key_of(kind, document)} not found")
        meta = document["metadata"]
        if (meta["uid"], meta["resourceVersion"]) != (old["metadata"]["uid"], old["metadata"]["resourceVersion"]):
            raise Conflict(f"{key_of(kind, document)} was changed by somebody else")
        return old

    def _store(self, kind: Kind, document: Document, old: Document | None) -> Document:
        key = key_of(kind, document)
        same = old is not None and {**document, "metadata": None} == {**old, "metadata": None}
        if old is not None and same and _stable(document) == _stable(old):
            return copied(old)
        self._version += 1
        meta = document["metadata"] = {**document["metadata"], "resourceVersion": str(self._version)}
        if old is None or document.get("spec") != old.get("spec"):
            meta["generation"] = meta.get("generation", 0) + 1
        self.writes.append(f"{kind.kind}/{meta['name']}")
        if meta.get("deletionTimestamp") and not meta.get("finalizers"):
            self._drop(key, document)
        else:
            self.documents[key] = document
            self._tell(kind, "MODIFIED" if old is not None else "ADDED", document)
        return copied(document)

    def _delete(self, key: Key, uid: str) -> Document:
        old = self.documents.get(key)
        if old is None or old["metadata"]["uid"] != uid:
            return {}
        if old["metadata"].get("finalizers"):
            if not old["metadata"].get("deletionTimestamp"):
                meta = {**old["metadata"], "deletionTimestamp": self._now()}
                self._store(key.kind, {**old, "metadata": meta}, old)
        else:
            self._version += 1
            self._drop(key, {**old, "metadata": {**old["metadata"], "resourceVersion": str(self._version)}})
        return {}

    def _drop(self, key: Key, document: Document) -> None:
        del self.documents[key]
        self._tell(key.kind, "DELETED", document)
        uid = document["metadata"]["uid"]
        for child, other in list(self.documents.items()):
            if any(o["uid"] == uid for o in other["metadata"].get("ownerReferences", [])):
                self._delete(child, other["metadata"]["uid"])

    def _tell(self, kind: Kind, event: str, document: Document) -> None:
        for watcher in self.watchers:
            watcher(kind, event, document)


def _place(key: Key) -> tuple[str, str]:
    return key.namespace, key.name


def _stable(document: Document) -> Document:
    return {k: v for k, v in document["metadata"].items() if k not in ("resourceVersion", "generation")}
