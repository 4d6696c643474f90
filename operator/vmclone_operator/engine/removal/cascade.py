"""`kubectl delete vmclone --cascade=orphan` means what it says: the clones' VMs stay, as with `onDelete: Orphan`.

Kubernetes has no other word for it than a finalizer: the API server puts `orphan` on the VMClone, the garbage collector
takes the ownerReferences off its VMCloneReplicas, then the finalizer off the VMClone. Either may be all that an
operator sees that comes late, so both count, and what follows from them is written down before a replica is deleted.
"""

from __future__ import annotations

from collections.abc import Sequence

from vmclone_operator.api.vmclone import VMCloneStatus
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.ledger.written import dumped
from vmclone_operator.engine.objects.lineage import VMCLONE_UID_LABEL, is_deleting
from vmclone_operator.engine.objects.replica import Replica, controller_of
from vmclone_operator.engine.vmclone.left_behind import LeftBehind
from vmclone_operator.kube.cluster import Document, Kind

ORPHAN = "orphan"


async def write_down(engine: Engine, vmclone: Document, replicas: Sequence[Document]) -> None:
    """Record in a VMClone that goes which replicas leave their VMs behind, if it was deleted so."""
    left = [replica for replica in replicas if _is_left(vmclone, replica)]
    if not left:
        return
    document = engine.newest(Kind.VMCLONE, vmclone)

    async def commit(status: VMCloneStatus) -> VMCloneStatus:
        await engine.write_status(Kind.VMCLONE, document, dumped(status))
        return status

    status = VMCloneStatus.model_validate(document.get("status") or {})
    known = {row.uid for row in status.left_behind}
    if not known.issuperset(replica["metadata"]["uid"] for replica in left):
        await LeftBehind(engine, document, status, commit).mark(left)


async def leaves(engine: Engine, vmclone: Document, replica: Replica) -> bool:
    """Return whether a replica that goes was orphaned with its VMClone, by what both are now; both are read live."""
    if not is_deleting(vmclone):
        return False
    live = await engine.cluster.get(replica.key)
    return _is_left(vmclone, live if live is not None else replica.document)


def _is_left(vmclone: Document, replica: Document) -> bool:
    """Return whether the deletion of a VMClone leaves this replica's VM; not one that was being removed before."""
    meta = vmclone["metadata"]
    asked, removed = meta.get("deletionTimestamp") or "", replica["metadata"].get("deletionTimestamp") or ""
    if not asked or (removed and removed < asked):
        return False
    if ORPHAN in (meta.get("finalizers") or []):
        return True
    owner, labels = controller_of(replica), replica["metadata"].get("labels") or {}
    # The garbage collector takes the reference alone: where the labels are gone as well, somebody wiped it.
    orphaned = owner is None or owner["uid"] != meta["uid"]
    return bool(orphaned and labels.get(VMCLONE_UID_LABEL) == meta["uid"])
