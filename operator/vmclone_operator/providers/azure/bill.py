"""What Azure bills for each clone, by kind and size: VM, disks, network card, security group. Pure; no prices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from vmclone_operator.domain.backend import PlanWish, Resource, SourceInfo
from vmclone_operator.providers.azure.clones import Place

_GIB = 1 << 30


def resources(source: SourceInfo, wish: PlanWish, place: Place) -> Iterator[Resource]:
    """Name what a clone is made of; in mode Clean the size of its disk is the image's, which Azure does not tell."""
    yield Resource(kind="VirtualMachine", size=place.size_of_clone(wish.shape, source.size))
    if wish.image:
        yield Resource(kind="Disk")
    else:
        counted = Counter(f"{disk.kind} {disk.capacity_bytes // _GIB} GiB" for disk in source.disks)
        for size, count in counted.items():
            yield Resource(kind="Disk", size=size, count=count)
    yield Resource(kind="NetworkInterface")
    if not wish.image:
        yield Resource(kind="NetworkSecurityGroup")
