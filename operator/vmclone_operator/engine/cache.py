"""What the informers saw last: says *that* something changed, and serves reads that need not be live.

Never trusted for absence: a pass reads live before it acts. Own writes are put back at once, and an older
version never replaces a newer one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from vmclone_operator.kube.cluster import Document, Key, Kind, key_of

_TOMBSTONES = 10_000
_WITHOUT_SLOT = frozenset({"", "Reserve", "Freeze", "HomeCopy", "Ready", "Failed", "Paused", "Deleting"})
VMCLONE_UID_LABEL = "vmclone.dev/vmclone-uid"


class _Keys(dict[Key, None]):
    """A set that keeps its order: what wakes many wakes them in the same order in every run."""

    def add(self, key: Key) -> None:
        self[key] = None

    def discard(self, key: Key) -> None:
        self.pop(key, None)


class Cache:
    """Documents by key, with VMCloneReplicas also by the VMClone they belong to."""

    def __init__(self) -> None:
        self._documents: dict[Key, Document] = {}
        self._children: defaultdict[str, _Keys] = defaultdict(_Keys)
        self._unfinished: defaultdict[str, _Keys] = defaultdict(_Keys)
        self._copying = _Keys()
        self._by_incarnation: dict[str, Key] = {}
        self._deleted: dict[str, None] = {}

    def put(self, kind: Kind, document: Document) -> bool:
        """Remember a document; return whether it is news."""
        if document["metadata"]["uid"] in self._deleted:
            return False  # the answer to a last write may arrive after the news that the object is gone
        key = key_of(kind, document)
        old = self._documents.get(key)
        if old is not None and _version(document) <= _version(old):
            return False
        document["metadata"].pop("managedFields", None)
        self._documents[key] = document
        if kind is Kind.REPLICA:
            if old is not None and not _same_object(old, document):
                self._forget_replica(key, old)
            self._remember_replica(key, document)
        return True

    def drop(self, kind: Kind, document: Document) -> None:
        """Forget a document that was deleted; one of the same name made since stays."""
        key = key_of(kind, document)
        self._deleted[document["metadata"]["uid"]] = None
        if len(self._deleted) > _TOMBSTONES:
            del self._deleted[next(iter(self._deleted))]
        old = self._documents.get(key)
        if old is None or not _same_object(old, document):
            return
        del self._documents[key]
        if kind is Kind.REPLICA:
            self._forget_replica(key, old)

    def get(self, key: Key) -> Document | None:
        """Return what was seen last of an object."""
        return self._documents.get(key)

    def replicas_of(self, vmclone_uid: str) -> list[Document]:
        """Return the replicas of a VMClone, lowest ordinal first."""
        found = [self._documents[key] for key in self._children.get(vmclone_uid, ())]
        return sorted(found, key=lambda d: int(d["spec"]["ordinal"]))

    @property
    def replica_count(self) -> int:
        """How many replicas there are, of all VMClones."""
        return sum(map(len, self._children.values()))

    def unfinished(self, backend: str) -> list[Document]:
        """Return the replicas on a backend that are being made: neither ready, nor failed, nor going."""
        return [self._documents[key] for key in self._unfinished.get(backend, ())]

    def copying(self) -> list[Document]:
        """Return the replicas whose home is being copied or waits to be."""
        return [self._documents[key] for key in self._copying]

    def by_incarnation(self, incarnation: str) -> Key | None:
        """Return the key of the replica whose VM bears this incarnation."""
        return self._by_incarnation.get(incarnation)

    def _remember_replica(self, key: Key, document: Document) -> None:
        self._children[owner_uid(document)].add(key)
        incarnation = incarnation_of(document)
        if incarnation == document["metadata"]["uid"] or incarnation not in self._by_incarnation:
            self._by_incarnation[incarnation] = key
        held = self._unfinished[document["spec"].get("backend", "")]
        (held.add if is_unfinished(document) else held.discard)(key)
        (self._copying.add if is_copying(document) else self._copying.discard)(key)

    def _forget_replica(self, key: Key, document: Document) -> None:
        if self._by_incarnation.get(incarnation_of(document)) == key:
            del self._by_incarnation[incarnation_of(document)]
        self._copying.discard(key)
        for index, name in (
            (self._children, owner_uid(document)),
            (self._unfinished, document["spec"].get("backend", "")),
        ):
            index[name].discard(key)
            if not index[name]:
                del index[name]

    def all(self, kind: Kind) -> list[Document]:
        """Return all documents of a kind."""
        return [document for key, document in self._documents.items() if key.kind is kind]

    def versions(self, kind: Kind) -> dict[Key, str]:
        """Return which version of each object of a kind is held, to compare with after a live list."""
        return {k: d["metadata"]["resourceVersion"] for k, d in self._documents.items() if k.kind is kind}

    def ghosts(self, kind: Kind, live: Iterable[Document], before: Mapping[Key, str]) -> list[Document]:
        """Return what is held and a live list did not show.

        Only what was held unchanged since before the list began: an object made meanwhile is no ghost.
        """
        seen = {key_of(kind, document) for document in live}
        held = self.versions(kind)
        return [self._documents[key] for key, version in before.items() if key not in seen and held.get(key) == version]


def owner_uid(replica: Mapping[str, object]) -> str:
    """Return the uid of the VMClone that a replica says it belongs to."""
    spec = replica.get("spec")
    return str(spec.get("vmCloneUID", "")) if isinstance(spec, Mapping) else ""


def incarnation_of(replica: Mapping[str, Any]) -> str:
    """Return the incarnation of a replica's VM: its own uid, or that of the replica whose VM it adopted."""
    adopted = replica["spec"].get("adopted") or {}
    return str(adopted.get("incarnation") or replica["metadata"]["uid"])


def is_ready(document: Document) -> bool:
    """Return whether an object says that it is ready."""
    conditions = (document.get("status") or {}).get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def is_unfinished(replica: Document) -> bool:
    """Return whether a replica takes a slot: it is being made, or could be. What waits for its source does not.

    A home copy takes none: copies have a queue of their own, and the clone is usable meanwhile.
    """
    state = (replica.get("status") or {}).get("state", "")
    return state not in _WITHOUT_SLOT and not replica["metadata"].get("deletionTimestamp")


def is_copying(replica: Document) -> bool:
    """Return whether a replica has a home copy that runs or waits."""
    status = replica.get("status") or {}
    open_steps = (s for s in status.get("steps") or [] if s["name"] == "HomeCopy" and not s.get("completionTime"))
    return bool(status.get("operation")) or any(True for _ in open_steps)


def _same_object(one: Document, other: Document) -> bool:
    return bool(one["metadata"].get("uid") == other["metadata"].get("uid"))


def _version(document: Document) -> int:
    # Comparable by KEP-5504; every API server in use numbers its versions.
    version = str(document["metadata"].get("resourceVersion", "0"))
    return int(version) if version.isdigit() else 0
