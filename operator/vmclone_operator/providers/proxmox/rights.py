"""Which rights the token needs, where, and why: asked of the server itself, and named one by one when they lack.

Whoever makes a clone gets no right on it, and a destroy takes the rights on a VM's own path away. So a token has its
rights on a pool that all our VMs are put into, or on /vms. In a pool a copy that runs can not be read (403, as for a
VM that is not there): its task is what tells of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vmclone_operator.providers.proxmox import answers
from vmclone_operator.providers.proxmox.pve import Pve
from vmclone_operator.providers.proxmox.site import Place
from vmclone_operator.providers.proxmox.translate import Refused

OWN = (
    "VM.Allocate",
    "VM.Audit",
    "VM.Clone",
    "VM.Config.CDROM",
    "VM.Config.CPU",
    "VM.Config.Cloudinit",
    "VM.Config.Disk",
    "VM.Config.HWType",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
    "VM.PowerMgmt",
)
"""On our VMs: what makes, sets safe, switches and removes a clone."""
SOURCE = ("VM.Audit", "VM.Clone")
_LAST_VMID = 999_999_999
"""The highest id that the server gives: no entry of an access list is for it alone."""
_NINE = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One right at one place."""

    path: str
    privilege: str


def guest_privilege(release: str) -> str:
    """Return what the guest agent asks for: VM.Monitor went in release 9."""
    major = release.partition(".")[0]
    return "VM.GuestAgent.Unrestricted" if answers.digits(major, _NINE) >= _NINE else "VM.Monitor"


def of_our_vms(place: Place, release: str) -> Iterator[Need]:
    """Return what is needed on our VMs: on their pool, or on their ids, of which the first stands for all."""
    path = f"/pool/{place.pool}" if place.pool else f"/vms/{place.first_vmid}"
    for privilege in (*OWN, guest_privilege(release)):
        yield Need(path=path, privilege=privilege)


def of_source(vmid: int) -> Iterator[Need]:
    """Return what is needed on a source or template."""
    for privilege in SOURCE:
        yield Need(path=f"/vms/{vmid}", privilege=privilege)


def of_storages(disks: Sequence[str], seeds: str = "") -> Iterator[Need]:
    """Return what is needed where disks and seeds are put."""
    for storage in dict.fromkeys(disks):
        yield Need(path=f"/storage/{storage}", privilege="Datastore.AllocateSpace")
    if seeds:  # an ISO image is put there with the one, and taken away with the other
        yield Need(path=f"/storage/{seeds}", privilege="Datastore.AllocateTemplate")
        yield Need(path=f"/storage/{seeds}", privilege="Datastore.Allocate")


def of_bridges(networks: Sequence[str]) -> Iterator[Need]:
    """Return what is needed on bridges of the nodes; of those in other zones we do not know the zone."""
    for bridge in dict.fromkeys(name.partition(".")[0] for name in networks):
        if bridge.startswith("vmbr"):
            yield Need(path=f"/sdn/zones/localnetwork/{bridge}", privilege="SDN.Use")


async def missing(pve: Pve, needs: Sequence[Need]) -> Sequence[str]:
    """Return what the token lacks, a sentence each; nothing where the server can not be asked: a write will tell."""
    try:
        have = {path: await pve.permissions(path) for path in dict.fromkeys(one.path for one in needs)}
    except Refused as refused:
        if refused.not_there:
            return ()
        raise
    lacking = [one for one in needs if one.privilege not in have[one.path]]
    return [f"the token has no {one.privilege} on {one.path}" for one in lacking]


async def sees_every_vm(pve: Pve) -> bool:
    """Tell whether the token may see everybody's VMs; a right on a pool shows those that are in it alone."""
    try:
        return "VM.Audit" in await pve.permissions(f"/vms/{_LAST_VMID}")
    except Refused as refused:
        if refused.not_there:
            return False
        raise
