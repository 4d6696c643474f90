"""The verbs over the double, from nothing to a running clone and back."""

from __future__ import annotations

from tests.unit.doubles.pve.clients import cluster
from tests.unit.providers.proxmox.lives import NAME, STAMP, Life, story, with_running_source

from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import Consistency, Power


def test_a_clone_of_a_stopped_source_lives_and_leaves_nothing_behind() -> None:
    world = cluster()
    before = set(world.world.storages.volumes)

    async def tell(life: Life) -> None:
        await life.whole()

    story(tell, world)
    assert set(world.world.vms) == {100}
    assert set(world.world.storages.volumes) == before


def test_a_clone_of_a_running_source_is_quiesced() -> None:
    async def tell(life: Life) -> None:
        point = await life.freeze()
        assert point.consistency is Consistency.QUIESCED
        assert point.frozen_time.endswith("Z")
        done = await life.clone()
        clone = await life.session.find_clone(life.ref)
        assert clone is not None
        assert (clone.stamp, clone.vm_name, clone.external_id) == (STAMP, NAME, done.external_id)
        assert (clone.power, clone.connected, clone.token) == (Power.OFF, False, "c1")
        config = life.world.world.vms[int(done.external_id)].config
        assert naming.mac_address(STAMP.incarnation, 0).upper() in str(config["net0"])
        assert naming.clone_uuid(STAMP.incarnation) in str(config["smbios1"])

    story(tell, with_running_source())
