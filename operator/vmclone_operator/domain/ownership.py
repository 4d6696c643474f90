"""How it is said that a VM is not ours: whose it seems to be decides what a person can do about it. Pure."""

from __future__ import annotations

from vmclone_operator.domain.backend import Stamp
from vmclone_operator.domain.errors import OwnershipMismatch


def mismatch(vm: str, found: Stamp | None, wanted: Stamp) -> OwnershipMismatch:
    """Return the error for a VM that does not carry exactly the stamp that is wanted.

    The same clone under another instance is a healthy one: the operator was installed in another namespace.
    """
    if found is not None and found.incarnation == wanted.incarnation and found.instance != wanted.instance:
        return OwnershipMismatch(f"the VM {vm} {of_instance(found.instance)}", instance=found.instance)
    return OwnershipMismatch(f"the VM {vm} does not carry exactly our stamp: it is left alone")


def of_instance(instance: str) -> str:
    """Return what to do about a VM that another instance of the operator made."""
    return (
        f"is this clone and carries the stamp of operator instance {instance}, which is not this one: the operator was"
        f" installed anew. Set operator.instance={instance} in the chart's values (--instance) to go on with it; do not"
        " remove the VM"
    )
