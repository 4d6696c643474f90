"""Which replicas are scaled down and leave their VMs behind, as `deletion.onScaleDown: Orphan` says.

It is written into the VMClone's status before such a replica is deleted. Users may delete a VMCloneReplica and write
its labels; whether a VM outlives it must not follow from either.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from vmclone_operator.api.change import LeftBehindStatus
from vmclone_operator.api.vmclone import VMCloneStatus
from vmclone_operator.domain.naming import replica_name
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.objects.lineage import is_deleting
from vmclone_operator.kube.cluster import Document, Key, Kind

Commit = Callable[[VMCloneStatus], Awaitable[VMCloneStatus]]


class LeftBehind:
    """The rows of one VMClone, while its replicas are changed."""

    def __init__(self, engine: Engine, vmclone: Document, status: VMCloneStatus, commit: Commit) -> None:
        self._engine = engine
        self._meta = vmclone["metadata"]
        self._commit = commit
        self._status = status

    async def mark(self, replicas: Sequence[Document]) -> None:
        """Write down, before they are deleted, that the VMs of these replicas stay."""
        rows = {row.uid: row for row in await self._still_going()}
        for document in replicas:
            uid = document["metadata"]["uid"]
            rows[uid] = LeftBehindStatus(ordinal=document["spec"]["ordinal"], uid=uid)
        wanted = tuple(sorted(rows.values(), key=lambda row: (row.ordinal, row.uid)))
        if wanted != self._status.left_behind:
            self._status = await self._commit(self._status.model_copy(update={"left_behind": wanted}))

    async def settled(self) -> VMCloneStatus:
        """Return the status without the rows of replicas that are gone, or stay after all."""
        rows = await self._still_going()
        return self._status.model_copy(update={"left_behind": rows})

    async def _still_going(self) -> tuple[LeftBehindStatus, ...]:
        return tuple([row for row in self._status.left_behind if await self._is_going(row)])

    async def _is_going(self, row: LeftBehindStatus) -> bool:
        """Return whether this very replica is being removed; that it is not is read live, for its VM depends on it."""
        key = Key(Kind.REPLICA, self._meta["namespace"], replica_name(self._meta["name"], row.ordinal))
        return _goes(self._engine.cache.get(key), row) or _goes(await self._engine.cluster.get(key), row)


def is_left_behind(vmclone: Document, incarnation: str) -> bool:
    """Return whether the VM of a replica that goes was written down as one that stays."""
    rows = (vmclone.get("status") or {}).get("leftBehind") or ()  # as it stands: each of a hundred asks this
    return any(row["uid"] == incarnation for row in rows)


def _goes(document: Document | None, row: LeftBehindStatus) -> bool:
    return document is not None and document["metadata"]["uid"] == row.uid and is_deleting(document)
