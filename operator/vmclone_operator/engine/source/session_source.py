"""Sessions as sources: the clone of another VMClone of the same namespace, and whose word counts for it.

The owner of the CloneSource at the root decides: grants, limits and whether clones may be cloned at all. Names and
ids are computed from the replica's own object, and the VM's stamp is compared live, as before any other use of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from vmclone_operator.api.base import NameRef
from vmclone_operator.api.source import CloneSourceSpec
from vmclone_operator.domain.backend import CloneRef, Mode, SourceInfo, Stamp
from vmclone_operator.domain.conditions import is_true
from vmclone_operator.domain.errors import SourceNotFound
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.objects.cache import Cache
from vmclone_operator.engine.objects.lineage import is_deleting, named_session
from vmclone_operator.engine.objects.replica import read_replica
from vmclone_operator.kube.cluster import Document, Key, Kind, key_of

Read = Callable[[Key], Awaitable[Document | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSource:
    """The clone behind a session."""

    session: str
    ref: CloneRef
    backend: str
    clone_source: str
    """The CloneSource at the root."""
    ready: bool

    @property
    def stamp(self) -> Stamp:
        """Return what its VM carries."""
        return self.ref.stamp

    def narrowed(self, root: CloneSourceSpec) -> CloneSourceSpec:
        """Return the root's word as it stands for this clone: its disks, on its backend, and nobody else's home."""
        home = root.home
        if home is not None:
            home = home.model_copy(update={"ssh_key_secret_ref": None, "address": None, "known_hosts": ()})
        update: dict[str, object] = {"backend": NameRef(name=self.backend), "modes": (Mode.DISK.value,), "images": ()}
        # A clone's power is its own VMClone's: two that switch it would never end.
        update |= {"home": home, "allowed_source_power": ()}
        return root.model_copy(update=update)


async def find(engine: Engine, read: Read, vmclone: Document) -> SessionSource | None:
    """Return the clone that a VMClone names by its session; None when this namespace has none."""
    session = named_session(vmclone)
    cached = engine.cache.replica_of_session(vmclone["metadata"]["namespace"], session)
    document = None if cached is None else await read(key_of(Kind.REPLICA, cached))
    replica = None if document is None else read_replica(document, instance=engine.instance)
    if replica is None or not replica.controlled or replica.spec.session != session or is_deleting(replica.document):
        return None
    if replica.vmclone_uid == vmclone["metadata"]["uid"]:
        return None
    owner = await read(Key(Kind.VMCLONE, replica.stamp.namespace, replica.stamp.vmclone))
    root = "" if owner is None else engine.cache.root_of(owner)
    if owner is None or owner["metadata"]["uid"] != replica.vmclone_uid or not root:
        return None
    return SessionSource(
        session=session,
        ref=replica.ref,
        backend=replica.spec.backend,
        clone_source=root,
        ready=is_true(replica.status.conditions, "Ready"),
    )


def backend_of(cache: Cache, vmclone: Document) -> str:
    """Return where a VMClone's source is, a clone or a CloneSource; empty when that is not known any more."""
    replica = cache.replica_of_session(vmclone["metadata"]["namespace"], named_session(vmclone))
    if replica is not None:
        return str(replica["spec"]["backend"])
    source = cache.get(Key(Kind.SOURCE, "", cache.root_of(vmclone)))
    return "" if source is None else str(source["spec"]["backend"]["name"])


def usable_sessions(engine: Engine, namespace: str) -> Iterator[str]:
    """Yield the sessions of a namespace that may be cloned."""
    if not any(source["spec"].get("cloneOfClones") for source in engine.cache.all(Kind.SOURCE)):
        return  # as nearly always: no need to look at every replica
    for document in engine.cache.all(Kind.REPLICA):
        if document["metadata"]["namespace"] != namespace or is_deleting(document):
            continue
        owner = engine.cache.owner_of(document)
        root = engine.cache.get(Key(Kind.SOURCE, "", engine.cache.root_of(owner))) if owner is not None else None
        if root is not None and root["spec"].get("cloneOfClones"):
            yield str(document["spec"]["session"])


async def described(engine: Engine, source: SessionSource) -> SourceInfo:
    """Describe the clone as a source; raises SourceNotFound unless its VM carries exactly the replica's stamp."""
    session = await engine.session(source.backend)
    clone = await session.find_clone(source.ref)
    if clone is not None and clone.stamp == source.stamp and clone.complete:
        return await session.describe_source(clone.external_id)
    raise SourceNotFound(f"the VM of session {source.session} is not at backend {source.backend}")
