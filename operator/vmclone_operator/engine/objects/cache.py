"""What the informers saw last: says *that* something changed, and serves reads that need not be live.

Never trusted for absence: a pass reads live before it acts. Own writes are put back at once, and an older
version never replaces a newer one.

Documents are found by what is asked of them, never by a walk over all: replicas by their VMClone and by session,
VMClones by CloneSource, CloneBackend, session and uid. The lines that follow from documents (who may make clones, who
has a slot) are kept here as well; `next_in_line` says whom a change lets go on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from vmclone_operator.api.backend import BackendLimits
from vmclone_operator.api.change import RolloutSpec
from vmclone_operator.api.source import SourceLimits
from vmclone_operator.domain.admission import Claimant
from vmclone_operator.engine.objects import lineage
from vmclone_operator.engine.objects.admission import Admission
from vmclone_operator.engine.objects.index import Index, Keys
from vmclone_operator.engine.objects.rollout_slots import Place, RolloutSlots
from vmclone_operator.kube.cluster import Document, Key, Kind, key_of

_TOMBSTONES = 10_000
_LONGEST_LINE = 8
"""Clones of clones of clones: further back nobody looks."""
_MOST_IN_FLIGHT: int = RolloutSpec.model_fields["max_in_flight"].default
"""`spec.rollout.maxInFlight` of a VMClone that does not say."""


class Cache:
    """Documents by key, and by what passes and events ask for."""

    def __init__(self) -> None:
        self._documents: dict[Key, Document] = {}
        self._kinds: dict[Kind, Keys] = {}
        self._deleted: dict[str, None] = {}
        self._by_incarnation: dict[str, Key] = {}
        self._vmclone_keys: dict[str, Key] = {}
        self._children: Index[str] = Index()
        self._in_order: dict[str, tuple[Document, ...]] = {}
        self._at_address: Index[tuple[str, str]] = Index()
        self._copying: Index[str] = Index()
        self._of_session: Index[tuple[str, str]] = Index()
        self._claiming: Index[tuple[str, str]] = Index()
        self._cloning: Index[tuple[str, str]] = Index()
        self._at_source: Index[str] = Index()
        self._at_backend: Index[str] = Index()
        self._copied: Index[str] = Index()
        self._switching: Index[str] = Index()
        self._most_replicas: dict[str, int] = {}
        self.admission = Admission()
        self.slots = RolloutSlots()

    def put(self, kind: Kind, document: Document) -> bool:
        """Remember a document; return whether it is news."""
        if document["metadata"]["uid"] in self._deleted:
            return False  # the answer to a last write may arrive after the news that the object is gone
        key = key_of(kind, document)
        old = self._documents.get(key)
        if old is not None and _version(document) <= _version(old):
            return False
        document["metadata"].pop("managedFields", None)
        if old is not None and lineage.uid_of(old) != lineage.uid_of(document):
            self._forget(key, old)
        self._documents[key] = document
        self._kinds.setdefault(kind, Keys()).add(key)
        self._remember(key, document)
        return True

    def drop(self, kind: Kind, document: Document) -> None:
        """Forget a document that was deleted; one of the same name made since stays."""
        key = key_of(kind, document)
        self._deleted[lineage.uid_of(document)] = None
        if len(self._deleted) > _TOMBSTONES:
            del self._deleted[next(iter(self._deleted))]
        old = self._documents.get(key)
        if old is not None and lineage.uid_of(old) == lineage.uid_of(document):
            self._forget(key, old)

    def next_in_line(self) -> list[Key]:
        """Return who may go on because of what changed since this was asked last."""
        return [*self.admission.next_in_line(), *self.slots.next_in_line()]

    # What is asked.

    def get(self, key: Key) -> Document | None:
        """Return what was seen last of an object."""
        return self._documents.get(key)

    def all(self, kind: Kind) -> list[Document]:
        """Return all documents of a kind: for what is done now and then, never for a pass."""
        return self._these(self._kinds.get(kind, ()))

    def replicas_of(self, vmclone_uid: str) -> list[Document]:
        """Return the replicas of a VMClone, lowest ordinal first."""
        known = self._in_order.get(vmclone_uid)
        if known is None:  # passes ask for it several times, and each replica's as well
            found = self._these(self._children.of(vmclone_uid))
            known = tuple(sorted(found, key=lambda d: int(d["spec"]["ordinal"])))
            if known:  # a VMClone that is gone has none, and nothing would ever forget that
                self._in_order[vmclone_uid] = known
        return list(known)

    def at_address(self, vmclone_uid: str, address: str) -> Collection[Key]:
        """Return the replicas of a VMClone whose guests have an address."""
        return tuple(self._at_address.of((vmclone_uid, address)))

    def copying(self, source: str | None = None) -> list[Document]:
        """Return the replicas whose home is being copied or waits to be, from one CloneSource or from any."""
        return self._these(self._copying if source is None else self._copying.of(source))

    def is_copied_from(self, source: str) -> bool:
        """Return whether the home of a CloneSource's VM is being copied, or is waited for."""
        return bool(self._copying.of(source))

    def by_incarnation(self, incarnation: str) -> Key | None:
        """Return the key of the replica whose VM bears this incarnation."""
        return self._by_incarnation.get(incarnation)

    def by_uid(self, vmclone_uid: str) -> Document | None:
        """Return a VMClone by its uid."""
        key = self._vmclone_keys.get(vmclone_uid)
        return None if key is None else self._documents.get(key)

    def replica_of_session(self, namespace: str, session: str) -> Document | None:
        """Return the replica that bears a session; None while there is none."""
        found = self._these(self._of_session.of((namespace, session)))
        return found[0] if found else None

    def claiming(self, namespace: str, session: str) -> list[Document]:
        """Return the VMClones that have or wish for a session."""
        return self._these(self._claiming.of((namespace, session)))

    def rivals_of(self, vmclone: Document) -> Iterator[Key]:
        """Yield the VMClones that have or wish for a session of this one, itself not."""
        mine = key_of(Kind.VMCLONE, vmclone)
        for session, _ in lineage.sessions_of(vmclone).values():
            rivals = self._claiming.of((mine.namespace, session))
            yield from (key for key in tuple(rivals) if key != mine)

    def cloning_session(self, namespace: str, session: str) -> Collection[Key]:
        """Return the VMClones that clone a session."""
        return tuple(self._cloning.of((namespace, session)))

    def cloning(self, source: str) -> Collection[Key]:
        """Return the VMClones whose clones come from a CloneSource in the end."""
        return tuple(self._at_source.of(source))

    def going_to(self, backend: str) -> Iterator[Key]:
        """Yield the VMClones whose source is on a CloneBackend, or whose clones go there."""
        yield from tuple(self._at_backend.of(backend))
        for source in self.all(Kind.SOURCE):
            if source["spec"]["backend"]["name"] == backend:
                yield from self.cloning(source["metadata"]["name"])

    def copied(self, source_id: str) -> list[Document]:
        """Return the VMClones with a frozen point of a VM of this id that is still being copied."""
        return self._these(self._copied.of(source_id))

    def is_copied_for(self, vmclone: Key) -> bool:
        """Return whether a frozen point is still being copied for a VMClone."""
        return bool(self._copied.names_of(vmclone))

    def switching(self) -> list[Document]:
        """Return the VMClones whose own status says that their source is switched."""
        return self._these(self._switching)

    def owner_of(self, replica: Document) -> Document | None:
        """Return the VMClone that a replica was made for."""
        owner = self._documents.get(_parent_key(replica))
        same = owner is not None and lineage.uid_of(owner) == lineage.owner_uid(replica)
        return owner if same else None

    def root_of(self, vmclone: Document) -> str:
        """Return the CloneSource that a VMClone's clones come from in the end; empty when nothing says so any more."""
        for _ in range(_LONGEST_LINE):
            name = lineage.named_source(vmclone)
            if name:
                return name
            namespace = vmclone["metadata"]["namespace"]
            replica = self.replica_of_session(namespace, lineage.named_session(vmclone))
            owner = None if replica is None else self.owner_of(replica)
            if owner is None:
                return ""
            vmclone = owner
        return ""

    @staticmethod
    def place_of(replica: Document) -> Place:
        """Return where a replica needs a slot to be made."""
        meta, spec = replica["metadata"], replica["spec"]
        order = (meta.get("creationTimestamp", ""), f"{meta['namespace']}/{meta['name']}")
        return Place(order=order, backend=spec.get("backend", ""), vmclone=lineage.owner_uid(replica))

    def versions(self, kind: Kind) -> dict[Key, str]:
        """Return which version of each object of a kind is held, to compare with after a live list."""
        return {key: self._documents[key]["metadata"]["resourceVersion"] for key in self._kinds.get(kind, ())}

    def ghosts(self, kind: Kind, live: Iterable[Document], before: Mapping[Key, str]) -> list[Document]:
        """Return what is held and a live list did not show.

        Only what was held unchanged since before the list began: an object made meanwhile is no ghost.
        """
        seen = {key_of(kind, document) for document in live}
        held = self.versions(kind)
        return [self._documents[key] for key, version in before.items() if key not in seen and held.get(key) == version]

    # What follows from a document.

    def _these(self, keys: Iterable[Key]) -> list[Document]:
        return [self._documents[key] for key in keys]

    def _remember(self, key: Key, document: Document) -> None:
        match key.kind:
            case Kind.REPLICA:
                self._remember_replica(key, document)
            case Kind.VMCLONE:
                self._remember_vmclone(key, document)
            case Kind.SOURCE:
                limits = SourceLimits.model_validate(document["spec"].get("limits") or {})
                self.admission.set_limit(key.name, limits.max_clones)
                if self._most_replicas.get(key.name) != limits.max_replicas_per_clone:
                    self._most_replicas[key.name] = limits.max_replicas_per_clone
                    self._claim_anew(self.cloning(key.name))
            case Kind.BACKEND:
                limits_of_host = BackendLimits.model_validate(document["spec"].get("limits") or {})
                self.slots.set_limit(key.name, limits_of_host.max_in_flight)
            case _:
                pass

    def _forget(self, key: Key, old: Document) -> None:
        del self._documents[key]
        self._kinds[key.kind].discard(key)
        if key.kind is Kind.REPLICA:
            self._forget_replica(key, old)
        elif key.kind is Kind.VMCLONE:
            self._forget_vmclone(key, old)

    def _remember_replica(self, key: Key, document: Document) -> None:
        incarnation = lineage.incarnation_of(document)
        if incarnation == lineage.uid_of(document) or incarnation not in self._by_incarnation:
            self._by_incarnation[incarnation] = key
        owner = lineage.owner_uid(document)
        is_new = not self._children.names_of(key)
        for name in (owner, *self._children.names_of(key)):
            self._in_order.pop(name, None)
        self._children.put(key, (owner,))
        self._at_address.put(key, tuple((owner, address) for address in lineage.addresses_of(document)))
        self._of_session.put(key, ((key.namespace, document["spec"].get("session", "")),))
        parent = self._documents.get(_parent_key(document))
        source = "" if parent is None else lineage.named_source(parent)
        self._copying.put(key, (source,) if lineage.is_copying(document) else ())
        self.slots.shown(key, self.place_of(document), under_way=lineage.is_under_way(document))
        if is_new:
            self._count_anew(document)

    def _forget_replica(self, key: Key, old: Document) -> None:
        if self._by_incarnation.get(lineage.incarnation_of(old)) == key:
            del self._by_incarnation[lineage.incarnation_of(old)]
        for owner in self._children.names_of(key):
            self._in_order.pop(owner, None)
        for index in (self._children, self._copying, self._of_session, self._at_address):
            index.drop(key)
        self.slots.gone(key)
        self._count_anew(old)

    def _count_anew(self, replica: Document) -> None:
        """Count a replica that came or went at its CloneSource; what clones its session may have another root now."""
        owner = self._vmclone_keys.get(lineage.owner_uid(replica))
        session = (replica["metadata"]["namespace"], replica["spec"].get("session", ""))
        self._claim_anew([*([] if owner is None else [owner]), *self._cloning.of(session)])

    def _remember_vmclone(self, key: Key, document: Document) -> None:
        uid, spec = lineage.uid_of(document), document["spec"]
        is_new = self._vmclone_keys.get(uid) != key
        self._vmclone_keys[uid] = key
        session = lineage.named_session(document)
        self._cloning.put(key, ((key.namespace, session),) if session else ())
        self._claiming.put(key, tuple({(key.namespace, s): None for s, _ in lineage.sessions_of(document).values()}))
        backend = (spec.get("backend") or {}).get("name", "")
        self._at_backend.put(key, (backend,) if backend else ())
        self._copied.put(key, tuple({source_id for _, source_id in lineage.copied_sources(document)}))
        self._switching.put(key, ("",) if (document.get("status") or {}).get("sourcePower") else ())
        self.slots.set_limit(uid, (spec.get("rollout") or {}).get("maxInFlight", _MOST_IN_FLIGHT))
        self._claim(key, document)
        if is_new:
            for replica in self._these(tuple(self._children.of(uid))):
                self._remember_replica(key_of(Kind.REPLICA, replica), replica)

    def _forget_vmclone(self, key: Key, old: Document) -> None:
        self._vmclone_keys.pop(lineage.uid_of(old), None)
        self.slots.drop_limit(lineage.uid_of(old))
        for index in (self._cloning, self._claiming, self._at_source, self._at_backend, self._copied, self._switching):
            index.drop(key)
        self.admission.drop(key)

    def _claim_anew(self, vmclones: Iterable[Key]) -> None:
        for key in tuple(vmclones):
            self._claim(key, self._documents[key])

    def _claim(self, key: Key, vmclone: Document) -> None:
        """Say at its CloneSource how many clones a VMClone has, and how many it would have."""
        root, spec = self.root_of(vmclone), vmclone["spec"]
        self._at_source.put(key, (root,))
        held = len(self._children.of(lineage.uid_of(vmclone)))
        wanted = min(spec.get("replicas", 1), self._most_replicas.get(root, 0))
        going = lineage.is_deleting(vmclone)
        claimant = Claimant(order=lineage.order_of(vmclone), held=held, wanted=held if going else wanted)
        self.admission.put(key, root, claimant)
        if spec.get("paused") or (spec.get("plan") or {}).get("mode") == "DryRun":
            self.admission.stand_back(key, back=True)


def _parent_key(replica: Document) -> Key:
    return Key(Kind.VMCLONE, replica["metadata"]["namespace"], lineage.parent_name(replica))


def _version(document: Document) -> int:
    # Comparable by KEP-5504; every API server in use numbers its versions.
    version = str(document["metadata"].get("resourceVersion", "0"))
    return int(version) if version.isdigit() else 0
