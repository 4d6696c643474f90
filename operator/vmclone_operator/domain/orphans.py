"""VMs with our stamp that belong to nobody any more: who they are, and which of them somebody asked to remove. Pure.

Nothing is removed because it is an orphan: an administrator names it on the CloneBackend, by its own id.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from vmclone_operator.domain.backend import ObservedClone

REPORTED = 50
"""So many are named in status; all are counted."""
_NAMED = 3


def suspects(clones: Sequence[ObservedClone], living: Collection[str]) -> tuple[ObservedClone, ...]:
    """Return the VMs whose incarnation is not among the living, in the order of their names."""
    return tuple(sorted((c for c in clones if c.stamp.incarnation not in living), key=lambda c: c.vm_name))


def asked_for(clones: Sequence[ObservedClone], annotation: str) -> tuple[ObservedClone, ...]:
    """Return the orphans that an annotation names: ids of the backend, with commas between."""
    wanted = {part.strip() for part in annotation.split(",")} - {""}
    return tuple(clone for clone in clones if clone.external_id in wanted)


def told(clones: Sequence[ObservedClone]) -> str:
    """Return what people are told of them, and what they can do."""
    names = ", ".join(f"{c.vm_name} of {c.stamp.namespace}/{c.stamp.vmclone}" for c in clones[:_NAMED])
    more = f" and {len(clones) - _NAMED} more" if len(clones) > _NAMED else ""
    return (
        f"{len(clones)} VMs carry our stamp and belong to no VMCloneReplica: {names}{more}; look at status.orphans, and"
        " name those to remove in the annotation vmclone.dev/remove-orphans (their externalID, with commas between)"
    )
