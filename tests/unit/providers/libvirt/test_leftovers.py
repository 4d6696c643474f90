"""Which of our files nobody uses: what cannot be read may be a user, so that nothing is said rather than too much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import libvirt
import pytest

from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import Leftover
from vmclone_operator.providers.libvirt import leftovers

VMCLONE = "11111111-0000-4000-8000-000000000001"
BASE = f"{naming.frozen_prefix('instance-1', VMCLONE)}t1-vda.off.qcow2"


def failure(code: int) -> libvirt.libvirtError:
    error = libvirt.libvirtError("injected")
    error.err = (code, libvirt.VIR_FROM_STORAGE, "injected", libvirt.VIR_ERR_ERROR, None, None, None, -1, -1)
    return error


@dataclass
class Volume:
    """A volume as libvirt shows it."""

    label: str
    backing: str = ""
    fails: int = 0

    def name(self) -> str:
        return self.label

    def path(self) -> str:
        return f"/pool/{self.label}"

    def XMLDesc(self) -> str:  # noqa: N802  - libvirt's name
        if self.fails:
            raise failure(self.fails)
        below = f"<backingStore><path>{self.backing}</path></backingStore>" if self.backing else ""
        return f"<volume><target><path>{self.path()}</path></target>{below}</volume>"


class Host:
    """A libvirt host with a pool of ours and one of somebody else's, and no VM."""

    def __init__(self, theirs: Sequence[Volume], *, stops: bool = False) -> None:
        self.stops = stops
        self.pools = {"default": [Volume(BASE)], "theirs": list(theirs)}

    def storagePoolLookupByName(self, name: str) -> Pool:  # noqa: N802  - libvirt's name
        return Pool(self, name)

    def listAllStoragePools(self, flags: int) -> list[Pool]:  # noqa: N802
        assert flags & libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE
        return [Pool(self, name) for name in self.pools]

    def listAllDomains(self) -> list[object]:  # noqa: N802
        return []


@dataclass
class Pool:
    """One of its pools."""

    host: Host
    label: str

    def name(self) -> str:
        return self.label

    def isActive(self) -> bool:  # noqa: N802
        return True

    def listAllVolumes(self) -> list[Volume]:  # noqa: N802
        if self.label == "theirs" and self.host.stops:
            raise failure(libvirt.VIR_ERR_OPERATION_INVALID)
        return self.host.pools[self.label]

    def storageVolLookupByName(self, name: str) -> Volume:  # noqa: N802
        return next(volume for volume in self.host.pools[self.label] if volume.label == name)


def found(host: Host) -> Sequence[Leftover]:
    return leftovers.find(cast("Any", host), "default", "instance-1", ())


def test_a_base_that_nothing_stands_on_is_left_over() -> None:
    gone = Volume("gone meanwhile", fails=libvirt.VIR_ERR_NO_STORAGE_VOL)
    assert [one.token for one in found(Host([Volume("another"), gone]))] == ["t1"]


def test_a_base_that_somebodys_file_stands_on_is_not() -> None:
    assert found(Host([Volume("theirs", backing=f"/pool/{BASE}")])) == []


@pytest.mark.parametrize(
    "host",
    [
        pytest.param(Host([Volume("x", fails=libvirt.VIR_ERR_INTERNAL_ERROR)]), id="a volume that cannot be read"),
        pytest.param(Host([], stops=True), id="a pool that stops meanwhile"),
    ],
)
def test_what_cannot_be_read_may_be_a_user_and_ends_the_look(host: Host) -> None:
    with pytest.raises(libvirt.libvirtError):
        found(host)
