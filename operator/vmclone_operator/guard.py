"""Refuses to let the operator be uninstalled while VMClones exist: `python -m vmclone_operator.guard`.

Without the operator their finalizers would never be removed, and their VMs never either.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

from vmclone_operator.kube.client import connect
from vmclone_operator.kube.cluster import ClusterError, Gone, Kind
from vmclone_operator.settings import namespace_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vmclone_operator.kube.cluster import Cluster, Document

_SHOWN = 20
_ADVICE = """Remove them first, then uninstall again:
  kubectl get vmclones --all-namespaces
  kubectl -n NAMESPACE delete vmclone NAME
To keep the VMs instead, annotate a VMClone with vmclone.dev/orphan-on-delete=true before deleting it.
To uninstall nevertheless, leaving VMs and finalizers behind: helm uninstall --no-hooks"""


def main() -> None:
    """Exit with 1 and a list when VMClones exist, with 0 when none does."""
    try:
        left = asyncio.run(_left())
    except ClusterError as error:
        sys.exit(f"cannot list VMClones, so nothing is removed: {error}")
    if left:
        sys.exit(refusal(left))


def refusal(left: Sequence[Document]) -> str:
    """Return what still exists and the ways on."""
    names = [f"  {d['metadata']['namespace']}/{d['metadata']['name']}" for d in left[:_SHOWN]]
    more = [f"  and {len(left) - _SHOWN} more"] if len(left) > _SHOWN else []
    return "\n".join([f"{len(left)} VMClones or VMCloneReplicas still exist:", *names, *more, _ADVICE])


async def remaining(cluster: Cluster) -> list[Document]:
    """Return every VMClone, and every VMCloneReplica whose VMClone is gone; none when the kinds are not served."""
    try:
        return [*await cluster.list(Kind.VMCLONE)] or [*await cluster.list(Kind.REPLICA)]
    except Gone:
        return []


async def _left() -> list[Document]:
    cluster = await connect()
    cluster.namespaces = namespace_names(os.environ.get("VMCLONE_WATCH_NAMESPACES", ""))
    try:
        return await remaining(cluster)
    finally:
        await cluster.close()


if __name__ == "__main__":
    main()
