"""An operator over a libvirtd that is killed in the middle of its work, and comes back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.contract.libvirt_backend import CAPACITY, LibvirtFacts
from tests.crash.libvirt_site import STRANGERS, Site
from tests.integration.libvirt import shapes
from tests.integration.libvirt.second_libvirtd import SecondLibvirtd, credentials
from tests.support.unbooted_story import Story

from vmclone_operator.providers.fake import Fault, FaultKind, FaultSchedule, at_call
from vmclone_operator.providers.libvirt import connection

pytestmark = pytest.mark.libvirt


@pytest.fixture
def elsewhere(second: SecondLibvirtd) -> Iterator[Site]:
    """Make a pool and a powered-off source on a libvirtd of the test's own."""
    folder = second.folder / "pool"
    folder.mkdir()
    with second.connected() as other:
        other.storagePoolCreateXML(f"<pool type='dir'><name>own</name><target><path>{folder}</path></target></pool>")
        facts = LibvirtFacts(
            source_name="", source_id="", pool_name="own", pool_path=folder, spare_path=folder, connection=other
        )
        with (folder / "own-vm.img").open("wb") as disk:
            disk.truncate(CAPACITY)
        facts.pool.refresh()
        yield Site(shapes.define(facts, shapes.DiskSpec(path=folder / "own-vm.img", format="raw")), disks=1)


AT = {
    "the source's copy": ("copy_disks", "Linked"),
    "the clone's copy": ("_copy", "Full"),
    "the clone's definition": ("_make", "Linked"),
    "the clone's removal": ("_undefine", "Linked"),
}


def _restarted(daemon: SecondLibvirtd) -> Fault:
    def restart() -> None:
        daemon.kill()
        daemon.start()

    return Fault(kind=FaultKind.MEANWHILE, meanwhile=restart)


@pytest.mark.parametrize(("call", "copy"), AT.values(), ids=AT.keys())
def test_a_libvirtd_that_restarts_at_work_costs_nobody_a_vm(
    second: SecondLibvirtd, elsewhere: Site, call: str, copy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call that it was killed in fails, all connections with it; the next pass goes on where it ended."""
    monkeypatch.setattr(connection, "FAILED_SECONDS", 0.0)
    settings = {"transport": "tls", "host": "127.0.0.1", "port": second.port, "pool": "own"}
    schedule = FaultSchedule(at_call(call, _restarted(second)))
    with Story(elsewhere, schedule, settings=settings, secret=credentials()) as story:
        story.make(replicas=2, disk={"copy": copy})
        with second.connected() as other:
            assert len(other.listAllDomains()) == 2 + len(("the source", "the stranger"))
        story.remove()
        assert schedule.struck
        with second.connected() as other:
            assert len(other.listAllDomains()) == len(("the source", "the stranger"))
        assert sorted(story.host.boots.values()) == [1, 1]
        assert {path.name for path in elsewhere.facts.pool_path.iterdir()} == {"own-vm.img", *STRANGERS}
