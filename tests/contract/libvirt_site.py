"""The contract suite's view of the lab's libvirtd: what somebody with virsh would see and do."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import libvirt
from tests.contract.libvirt_backend import CAPACITY, LibvirtFacts, open_libvirt, open_session
from tests.contract.steps import INSTANCE
from tests.contract.traits import Traits

from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import Consistency, Owner
from vmclone_operator.providers.libvirt import switches
from vmclone_operator.providers.libvirt.frozen_names import frozen_volume_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from contextlib import AbstractAsyncContextManager

    from tests.contract.backends import Operator

    from vmclone_operator.domain.backend import BackendSession, CloneIntent


class LibvirtSite:
    """A scratch pool with a powered-off source."""

    guest = False
    traits = Traits()

    def __init__(self, facts: LibvirtFacts) -> None:
        self._facts = facts
        self.source = facts.source_name

    def session(self, operator: Operator) -> AbstractAsyncContextManager[BackendSession]:
        """Open one more session on the same pool."""
        return open_session(self._facts, operator.wake, operator.fence)

    def files(self) -> list[str]:
        """Return what lies in the pool."""
        return self._facts.volume_names()

    def add_image(self, name: str) -> str:
        """Put a golden volume into the pool, larger than the source's disk."""
        self._facts.make_image(f"{name}.qcow2", capacity=2 * CAPACITY)
        return f"{name}.qcow2"

    def replace_image(self, name: str) -> None:
        """Put another volume in its place."""
        self._facts.make_image(name, capacity=3 * CAPACITY)

    def extra_pool(self) -> str:
        """Return the second pool of the site."""
        return self._facts.spare_name

    def pool_files(self, pool: str) -> list[str]:
        """Return what lies in the second pool."""
        assert pool == self._facts.spare_name
        return self._facts.spare_names()

    def file_mark(self, name: str) -> str:
        """Return inode and time of the last write."""
        found = (self._facts.pool_path / name).stat()
        return f"{found.st_ino} {found.st_mtime_ns}"

    def holder(self, intent: CloneIntent) -> str:
        """Return what the names of its overlays begin with."""
        return naming.volume_prefix(intent.stamp.instance, intent.stamp.incarnation)

    def vms(self) -> list[str]:
        """Return every domain of this libvirtd that this suite made."""
        return sorted(f"{domain.name()} {domain.UUIDString()}" for domain in self._domains())

    def _domains(self) -> Iterator[libvirt.virDomain]:
        for domain in self._facts.connection.listAllDomains():
            with contextlib.suppress(libvirt.libvirtError):  # another run's, gone since it was listed
                if self._facts.pool_name in domain.XMLDesc():
                    yield domain

    def add_vm(self, name: str, uuid: str) -> None:
        """Define a stranger's domain; its disk makes it known as one of this suite."""
        self._facts.make_domain(name, uuid, self._facts.make_volume(f"stranger-{uuid}.img"))

    def leave_clone_file(self, incarnation: str, token: str) -> None:
        """Leave an overlay."""
        self._facts.make_volume(f"{naming.volume_prefix(INSTANCE, incarnation)}{token}-vda.qcow2")

    def leave_frozen_file(self, vmclone_uid: str, token: str) -> None:
        """Leave a base that no job fills."""
        owner = Owner(instance=INSTANCE, vmclone_uid=vmclone_uid)
        self._facts.make_volume(frozen_volume_name(owner, token, "vda", Consistency.POWERED_OFF))

    def remove_vm(self, uuid: str) -> None:
        """Undefine a domain."""
        self._facts.connection.lookupByUUIDString(uuid).undefine()


@contextlib.asynccontextmanager
async def open_site() -> AsyncIterator[LibvirtSite]:
    """Make the scratch pool and its source, and remove them with all that was made from them."""
    with _impatient():
        async with open_libvirt() as (_, facts):
            yield LibvirtSite(facts)


@contextlib.contextmanager
def _impatient() -> Iterator[None]:
    """Give a guest that is asked to shut down a second, not a minute: one that boots nothing never obeys."""
    patience, switches.SHUTDOWN_SECONDS = switches.SHUTDOWN_SECONDS, 1.0
    try:
        yield
    finally:
        switches.SHUTDOWN_SECONDS = patience
