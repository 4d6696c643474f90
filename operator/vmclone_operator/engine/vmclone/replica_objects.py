"""The VMCloneReplica objects of one VMClone: made, removed, replaced; their own passes do the work at the backend.

What is removed is decided twice: from the cache, and (if anything would go) again from a live list, so that
a remembered state never costs a clone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from vmclone_operator.api.vmclone import VMCloneSpec
from vmclone_operator.domain.adoption import Match
from vmclone_operator.domain.errors import CloneError, NameTaken
from vmclone_operator.domain.revision import revision_of
from vmclone_operator.domain.rollout import (
    ReplicaChanges,
    ReplicaView,
    ScaleDown,
    plan_replicas,
    repairable,
    replaceable,
)
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.objects.lineage import VMCLONE_UID_LABEL, is_deleting
from vmclone_operator.engine.objects.replica import controller_of, new_replica, replica_labels
from vmclone_operator.engine.replica.drifting import is_rebuilt
from vmclone_operator.engine.vmclone import adopting, refusals
from vmclone_operator.engine.vmclone.clone_report import view_of
from vmclone_operator.kube.cluster import Conflict, Document, HookDown, Key, Kind, Refused, key_of

_REFUSALS = 3
"""After how many refusals in one pass no more replicas are asked for."""
_MADE_IN_A_PASS = 20
"""How many are made before their VMClone says so: a hundred take seconds, and people look for a first word."""
Leave = Callable[[Sequence[Document]], Awaitable[None]]
"""Writes down, before they are deleted, that the VMs of these replicas stay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaObjects:
    """The replicas of one VMClone, and how many it wants now."""

    engine: Engine
    vmclone: Document
    spec: VMCloneSpec
    wanted: int
    expired: bool = False
    matches: Mapping[int, Match] = field(default_factory=dict)
    """By ordinal, the VMs that new replicas go on with."""
    places: int = 0
    """How many more replicas the limits of the CloneSource leave to it."""

    def found(self) -> list[Document]:
        """Return the replicas that this VMClone controls, as the cache has them."""
        return self._controlled(self.engine.cache.replicas_of(self.vmclone["metadata"]["uid"]))

    def views(self) -> list[ReplicaView]:
        """Return what the VMClone's decisions need to know of them."""
        return self._views(self.found())

    def unmade(self) -> tuple[int, ...]:
        """Return the ordinals that replicas are about to be made for; quick while every one has its replica."""
        held = {document["spec"]["ordinal"] for document in self.found()}
        if held.issuperset(range(1, self.wanted + 1)):
            return ()
        return self._plan(self.found(), may_make=True)[0].create

    def upcoming(self) -> tuple[ReplicaChanges, tuple[ReplicaView, ...]]:
        """Return what would be made and removed, and everybody who would be replaced, one after the other."""
        documents = self.found()
        changes, replaced = self._plan(documents, may_make=True)
        if self.spec.rollout.update != "Recreate":
            return changes, replaced
        going = {view.uid for view in (*changes.delete, *changes.remake, *replaced)}
        others = [v for v in self._views(documents) if v.uid not in going and not v.deleting]
        return changes, (*replaced, *(v for v in others if not v.current))

    async def change(
        self, sessions: Mapping[int, str], *, may_make: bool, backend: str, leave: Leave
    ) -> CloneError | None:
        """Make and remove what has to be; put back the labels of those that stay.

        Return why one cannot be made: those that are there go on all the same.
        """
        changes, replaced = self._plan(self.found(), may_make=may_make)
        if changes.delete or changes.remake or replaced:
            documents = await self._live()
            if documents is None:
                return None
            changes, replaced = self._plan(documents, may_make=may_make)
            await self._remove(documents, changes, replaced, leave)
        refused = await self._create_all(changes.create[:_MADE_IN_A_PASS], sessions, backend)
        if len(changes.create) > _MADE_IN_A_PASS and not refused:
            self.engine.queue.add(key_of(Kind.VMCLONE, self.vmclone))
        leaving = {view.uid for view in changes.delete}
        for document in self.found():
            if document["metadata"]["uid"] not in leaving:
                await self._restore_labels(document)
        return refused[0] if refused else None

    async def _create_all(self, ordinals: Sequence[int], sessions: Mapping[int, str], backend: str) -> list[CloneError]:
        """Make replicas; after a few refusals the others are not asked for: a quota would refuse a hundred alike."""
        refused: list[CloneError] = []
        for ordinal in ordinals:
            try:
                await self._create(ordinal, sessions[ordinal], backend)
            except (Refused, HookDown) as error:
                refused.append(refusals.in_words(error))
            except NameTaken as error:
                refused.append(error)
            if len(refused) >= _REFUSALS:
                break
        return refused

    def _plan(self, documents: Sequence[Document], *, may_make: bool) -> tuple[ReplicaChanges, tuple[ReplicaView, ...]]:
        views = self._views(documents)
        how = ScaleDown(self.spec.rollout.scale_down)
        changes = plan_replicas(views, wanted=self.wanted, may_make=may_make, scale_down=how)
        changes = replace(changes, create=changes.create[: self.places])
        if not may_make:
            return changes, ()
        going = {view.uid for view in (*changes.delete, *changes.remake)}
        staying = [v for v in views if v.uid not in going]
        if self.spec.rollout.update == "Recreate":
            limit = self.spec.rollout.max_unavailable
            replaced = replaceable(staying, wanted=self.wanted, max_unavailable=limit)
            if replaced:
                return changes, replaced
        backends = {document["metadata"]["uid"]: document["spec"]["backend"] for document in documents}
        return changes, repairable([self._repaired(view, backends) for view in staying], wanted=self.wanted)

    def _repaired(self, view: ReplicaView, backends: Mapping[str, str]) -> ReplicaView:
        """Return the view as one whose drift counts only where its CloneBackend, named by its uid, says so."""
        if not view.reconfigured or is_rebuilt(self.engine, backends[view.uid]):
            return view
        return replace(view, reconfigured=False)

    async def _is_wished(self) -> bool:
        """Return whether this very wish is still there, read live."""
        wish = await self.engine.live(key_of(Kind.VMCLONE, self.vmclone))
        return wish is not None and not is_deleting(wish) and wish["metadata"]["uid"] == self.vmclone["metadata"]["uid"]

    async def _live(self) -> list[Document] | None:
        """Read the replicas live; None if the wish itself is no longer the one at hand: another pass follows."""
        meta = self.vmclone["metadata"]
        wish = await self.engine.cluster.get(key_of(Kind.VMCLONE, self.vmclone))
        if wish is None or is_deleting(wish) or wish["metadata"]["uid"] != meta["uid"]:
            return None
        self.engine.saw(Kind.VMCLONE, wish)
        if wish["spec"] != self.vmclone["spec"]:
            return None
        labels = {VMCLONE_UID_LABEL: meta["uid"]}
        documents = await self.engine.cluster.list(Kind.REPLICA, namespace=meta["namespace"], labels=labels)
        for document in documents:
            self.engine.saw(Kind.REPLICA, document)
        return self._controlled(documents)

    async def _remove(
        self, documents: Sequence[Document], changes: ReplicaChanges, replaced: Sequence[ReplicaView], leave: Leave
    ) -> None:
        by_uid = {document["metadata"]["uid"]: document for document in documents}
        if self.spec.deletion.on_scale_down == "Orphan" and not self.expired:
            await leave([by_uid[view.uid] for view in changes.delete])
        for view in (*changes.delete, *changes.remake, *replaced):
            await self.engine.cluster.delete(Kind.REPLICA, by_uid[view.uid])

    async def _restore_labels(self, document: Document) -> None:
        """Put our labels back on a replica that lost them."""
        present, wanted = document["metadata"].get("labels") or {}, replica_labels(self.vmclone, document)
        if not is_deleting(document) and not wanted.items() <= present.items():
            await self.engine.write_labels(Kind.REPLICA, document, {**present, **wanted})

    async def _create(self, ordinal: int, session: str, backend: str) -> None:
        match = self.matches.get(ordinal)
        if match is not None and not await self._is_wished():
            return  # what adopts a VM takes it along when it goes
        stamp = None if match is None else match.clone.stamp
        wanted = new_replica(self.vmclone, ordinal=ordinal, session=session, backend=backend, adopts=stamp)
        with self.engine.cache.admission.making(key_of(Kind.VMCLONE, self.vmclone)) as has_place:
            made = await self._created(wanted) if has_place else None
        if match is not None and made is not None:
            await adopting.tell(self.engine, self.vmclone, made, match)

    async def _created(self, wanted: Document) -> Document | None:
        """Create a replica; None if there is one of that name."""
        try:
            made = await self.engine.cluster.create(Kind.REPLICA, wanted)
        except Conflict:
            # Ours from a pass whose reply was lost, or one still being removed: the live object tells.
            key = Key(Kind.REPLICA, wanted["metadata"]["namespace"], wanted["metadata"]["name"])
            document = await self.engine.cluster.get(key)
            if document is not None:
                self.engine.saw(Kind.REPLICA, document)
                self._check_owner(document)
            return None
        self.engine.saw(Kind.REPLICA, made)
        return made

    def _check_owner(self, document: Document) -> None:
        """Raise NameTaken for a replica that is there and is neither ours nor on its way out."""
        owner, meta = controller_of(document), document["metadata"]
        if is_deleting(document) or (owner is not None and owner["uid"] == self.vmclone["metadata"]["uid"]):
            return
        whose = "nobody" if owner is None else f"VMClone {owner['name']} with uid {owner['uid']}"
        raise NameTaken(
            f"VMCloneReplica {meta['name']} exists and belongs to {whose}, not to this VMClone with uid"
            f" {self.vmclone['metadata']['uid']}, as after a restore; look at its VM, then delete the VMCloneReplica:"
            " with the annotation vmclone.dev/orphan-on-delete=true its VM stays"
        )

    def _views(self, documents: Sequence[Document]) -> list[ReplicaView]:
        revision = revision_of(self.vmclone["spec"])
        return [view_of(document, revision) for document in documents]

    def _controlled(self, documents: Sequence[Document]) -> list[Document]:
        uid = self.vmclone["metadata"]["uid"]
        owners = ((document, controller_of(document)) for document in documents)
        return [document for document, owner in owners if owner is not None and owner["uid"] == uid]
