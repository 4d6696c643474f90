"""What every backend promises about mode Clean: a fresh VM from a golden image, of the source only its shape."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
from tests.contract.backends import Play, Stage
from tests.contract.steps import Wish, finished, followed, image_point, made, observed, removed, until
from tests.support.refs import is_gone, ref_to

from vmclone_operator.domain import guest
from vmclone_operator.domain.backend import CloneIntent, Consistency, Mode, OperationState, Power
from vmclone_operator.domain.errors import AgentNotReady, CapabilityMissing, ImageNotFound

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"


async def golden(stage: Stage) -> str:
    """Return the name of a golden image; a backend that says it has none must refuse what needs one."""
    capabilities = (await stage.session.check()).capabilities
    if Mode.CLEAN not in capabilities.modes:
        with pytest.raises(CapabilityMissing):
            await stage.session.describe_image("golden")
    return stage.site.add_image("golden") if Mode.CLEAN in capabilities.modes else ""


async def clean_intent(stage: Stage, wish: Wish, image: str) -> CloneIntent:
    intent = wish.clone_intent(await image_point(stage.session, stage.site.source, image, wish))
    seed = replace(intent.seed, host_public_key=HOST_KEY, user="dev")
    return replace(intent, mode=Mode.CLEAN, source_name=stage.site.source, seed=seed)


def test_golden_image_says_what_it_is(on_backend: Play) -> None:
    """Preflight knows the room that is needed, and status which image it was."""

    async def scenario(stage: Stage) -> None:
        if name := await golden(stage):
            image = await stage.session.describe_image(name)
            assert image.name == name
            assert image.fingerprint.startswith("sha256:")
            assert image.capacity_bytes >= image.allocated_bytes > 0
            assert await stage.session.describe_image(name) == image

    on_backend(scenario)


def test_unknown_image_is_refused_by_name(on_backend: Play) -> None:
    """A typing error is found before anything is made, and the sentence says which word is wrong."""

    async def scenario(stage: Stage) -> None:
        if await golden(stage):
            wish, before = Wish(), stage.site.files()
            source = await stage.session.describe_source(stage.site.source)
            with pytest.raises(ImageNotFound, match="no-such-image"):
                await stage.session.describe_image("no-such-image")
            with pytest.raises(ImageNotFound, match="no-such-image"):
                await stage.session.freeze(wish.freeze_intent(source.source_id, image="no-such-image"))
            assert stage.site.files() == before

    on_backend(scenario)


def test_replaced_image_has_another_fingerprint(on_backend: Play) -> None:
    """A new build under the same name is seen; clones of the old one are still made of the old one."""

    async def scenario(stage: Stage) -> None:
        if name := await golden(stage):
            before = await stage.session.describe_image(name)
            intent = await clean_intent(stage, Wish(), name)
            stage.site.replace_image(name)
            assert (await stage.session.describe_image(name)).fingerprint != before.fingerprint
            await made(stage.session, intent)
            assert (await observed(stage.session, intent.stamp)).complete

    on_backend(scenario)


def test_frozen_point_of_an_image_leaves_source_and_image_alone(on_backend: Play) -> None:
    """The source is not frozen, copied or asked; the point says which image it is of."""

    async def scenario(stage: Stage) -> None:
        if name := await golden(stage):
            source = await stage.session.describe_source(stage.site.source)
            image = await stage.session.describe_image(name)
            point = await finished(stage.session, Wish().freeze_intent(source.source_id, image=name))
            assert (point.fingerprint, point.source_id) == (image.fingerprint, source.source_id)
            assert point.consistency is Consistency.POWERED_OFF
            assert point.allocated_bytes > 0
            assert await stage.session.describe_source(stage.site.source) == source
            assert await stage.session.describe_image(name) == image

    on_backend(scenario)


def test_frozen_point_of_an_image_is_copied_once_and_released(on_backend: Play) -> None:
    """It lives and ends like one of a source: one copy an attempt, found by owner, gone without a trace."""

    async def scenario(stage: Stage) -> None:
        if name := await golden(stage):
            wish, before = Wish(), stage.site.files()
            source = await stage.session.describe_source(stage.site.source)
            intent = wish.freeze_intent(source.source_id, image=name)
            intent, point = await followed(stage.session, intent)
            files = stage.site.files()
            assert (await stage.session.freeze(intent)).state in (OperationState.DONE, OperationState.LOST)
            assert stage.site.files() == files
            mine = [] if point.borrowed else [intent.token]  # what is borrowed is the administrator's
            assert list(await stage.session.find_frozen(wish.owner)) == mine
            await until(lambda: is_gone(stage.session.release_frozen(wish.owner, intent.token, intent.handle)))
            assert stage.site.files() == before

    on_backend(scenario)


def test_clean_clone_has_the_shape_of_its_source_and_room_for_both(on_backend: Play) -> None:
    """As many processors, as much memory and disk as people know from the source; never less than the image has."""

    async def scenario(stage: Stage) -> None:
        if name := await golden(stage):
            source = await stage.session.describe_source(stage.site.source)
            image = await stage.session.describe_image(name)
            intent = await made(stage.session, await clean_intent(stage, Wish(), name))
            assert (await observed(stage.session, intent.stamp)).shape == source.shape
            machine = (await observed(stage.session, intent.stamp)).external_id
            disks = (await stage.session.describe_source(machine)).disks
            system = [disk.capacity_bytes for disk in disks if not disk.shared]
            assert system[0] >= max(image.capacity_bytes, source.disks[0].capacity_bytes)

    on_backend(scenario)


def test_clean_clone_is_off_with_its_links_up(on_backend: Play) -> None:
    """Nothing of the source is in it, so there is nothing to quarantine; cloud-init may use the network."""

    async def scenario(stage: Stage) -> None:
        if name := await golden(stage):
            intent = await made(stage.session, await clean_intent(stage, Wish(), name))
            clone = await observed(stage.session, intent.stamp)
            assert (clone.complete, clone.power, clone.connected) == (True, Power.OFF, True)
            await stage.session.connect_network(ref_to(intent.stamp))
            assert await observed(stage.session, intent.stamp) == clone

    on_backend(scenario)


def test_deleted_clean_clone_leaves_nothing(on_backend: Play) -> None:
    """The image and its frozen point stay; everything that was the clone's goes."""

    async def scenario(stage: Stage) -> None:
        if name := await golden(stage):
            intent = await clean_intent(stage, Wish(), name)
            before = (stage.site.files(), stage.site.vms())
            await made(stage.session, intent)
            await removed(stage.session, intent.stamp)
            assert (stage.site.files(), stage.site.vms()) == before

    on_backend(scenario)


def test_guest_of_a_clean_clone_is_its_own_from_the_first_boot(with_guest: Play) -> None:
    """Hostname and machine-id are neither the source's nor a sibling's, and an address comes without being asked."""

    async def scenario(stage: Stage) -> None:
        wish, name = Wish(), await golden(stage)
        first = await clean_intent(stage, wish, name)
        point = await image_point(stage.session, stage.site.source, name, wish)
        second = replace(wish.clone_intent(point, ordinal=2), mode=Mode.CLEAN)
        ids, seen = set[str](), set[str]()
        for intent in (first, second):
            await made(stage.session, intent)
            await stage.session.set_power(ref_to(intent.stamp), Power.ON)
            await until(partial(_booted_with_address, stage, intent))
            answer = await stage.session.guest_exec(ref_to(intent.stamp), guest.PROBE)
            probe = guest.parse_probe(answer.stdout)
            assert probe.hostname == intent.vm_name
            ids.add(probe.machine_id_hash)
            seen.update(await stage.session.guest_addresses(ref_to(intent.stamp)))
        assert len(ids - {""}) == len(seen) == 2

    with_guest(scenario)


async def _booted_with_address(stage: Stage, intent: CloneIntent) -> bool:
    try:
        answer = await stage.session.guest_exec(ref_to(intent.stamp), guest.PROBE)
        booted = guest.parse_probe(answer.stdout).booted
        return booted and bool(await stage.session.guest_addresses(ref_to(intent.stamp)))
    except AgentNotReady:
        return False
