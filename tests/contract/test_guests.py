"""What every backend with a guest channel promises: a clone is its source until our command changes that."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
from tests.contract.backends import Play, Stage
from tests.contract.steps import Wish, cloned, frozen_point, made, observed, until
from tests.support.refs import ref_to

from vmclone_operator.domain import guest
from vmclone_operator.domain.backend import CloneIntent, GuestCommand, Power
from vmclone_operator.domain.errors import AgentNotReady

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f alice"


async def probed(stage: Stage, intent: CloneIntent) -> guest.GuestProbe:
    result = await stage.session.guest_exec(ref_to(intent.stamp), guest.PROBE)
    assert result.exit_code == 0
    return guest.parse_probe(result.stdout)


async def booted(stage: Stage, intent: CloneIntent) -> None:
    await stage.session.set_power(ref_to(intent.stamp), Power.ON)
    await until(partial(_is_booted, stage, intent))


async def _is_booted(stage: Stage, intent: CloneIntent) -> bool:
    try:
        return (await observed(stage.session, intent.stamp)).agent and (await probed(stage, intent)).booted
    except AgentNotReady:
        return False  # a backend that can not see the agent's channel only sees that it does not answer


def identity(intent: CloneIntent, token: str = "") -> GuestCommand:
    token = token or intent.stamp.incarnation
    return guest.identity_command(token=token, hostname=intent.vm_name, user="dev", authorized_keys=(KEY,))


async def given_identity(stage: Stage, intent: CloneIntent) -> guest.GuestProbe:
    assert (await stage.session.guest_exec(ref_to(intent.stamp), identity(intent))).exit_code == 0
    await until(partial(_is_reset, stage, intent))
    return await probed(stage, intent)


async def _is_reset(stage: Stage, intent: CloneIntent) -> bool:
    return (await probed(stage, intent)).state_of(intent.stamp.incarnation) is guest.IdentityState.DONE


def known(intent: CloneIntent, probe: guest.GuestProbe) -> guest.KnownIdentity:
    return guest.KnownIdentity(
        name=intent.vm_name,
        hostname=probe.hostname,
        machine_id_hash=probe.machine_id_hash,
        ssh_host_keys=probe.ssh_host_keys,
    )


def test_guest_of_a_clone_that_is_off_does_not_answer(with_guest: Play) -> None:
    """The engine waits and asks again; it does not give up on the clone."""

    async def scenario(stage: Stage) -> None:
        intent = await cloned(stage.session, stage.site.source, Wish())
        with pytest.raises(AgentNotReady):
            await stage.session.guest_exec(ref_to(intent.stamp), guest.PROBE)
        with pytest.raises(AgentNotReady):
            await stage.session.guest_addresses(ref_to(intent.stamp))

    with_guest(scenario)


def test_booted_clone_still_is_its_source(with_guest: Play) -> None:
    """Two clones of one frozen point are the same machine until we change that; so nothing may connect them."""

    async def scenario(stage: Stage) -> None:
        wish = Wish()
        point = await frozen_point(stage.session, stage.site.source, wish)
        first, second = wish.clone_intent(point), wish.clone_intent(point, ordinal=2)
        for intent in (first, second):
            await made(stage.session, intent)
            await booted(stage, intent)
        one, two = await probed(stage, first), await probed(stage, second)
        assert one.machine_id_hash == two.machine_id_hash != ""
        assert one.hostname == two.hostname == stage.site.source
        assert one.state_of(first.stamp.incarnation) is guest.IdentityState.NONE

    with_guest(scenario)


def test_identity_command_makes_clones_different_from_source_and_siblings(with_guest: Play) -> None:
    """machine-id, host key and hostname are the clone's own, as the running daemons say."""

    async def scenario(stage: Stage) -> None:
        wish = Wish()
        point = await frozen_point(stage.session, stage.site.source, wish)
        siblings: list[guest.KnownIdentity] = []
        for ordinal in (1, 2, 3):
            intent = wish.clone_intent(point, ordinal=ordinal)
            await made(stage.session, intent)
            await booted(stage, intent)
            probe = await given_identity(stage, intent)
            token = intent.stamp.incarnation
            assert guest.identity_problems(probe, token=token, hostname=intent.vm_name, siblings=siblings) == ()
            siblings.append(known(intent, probe))

    with_guest(scenario)


def test_identity_of_one_clone_leaves_its_sibling_alone(with_guest: Play) -> None:
    """Clones share a base, never what they write: the first one's identity is not the second one's."""

    async def scenario(stage: Stage) -> None:
        wish = Wish()
        point = await frozen_point(stage.session, stage.site.source, wish)
        first, second = wish.clone_intent(point), wish.clone_intent(point, ordinal=2)
        for intent in (first, second):
            await made(stage.session, intent)
            await booted(stage, intent)
        untouched = await probed(stage, second)
        mine = await given_identity(stage, first)
        assert await probed(stage, second) == untouched
        await given_identity(stage, second)
        assert await probed(stage, first) == mine

    with_guest(scenario)


def test_identity_is_given_once_and_survives_a_restart(with_guest: Play) -> None:
    """Repeating the command, or switching off and on, never changes a clone that people already know."""

    async def scenario(stage: Stage) -> None:
        intent = await cloned(stage.session, stage.site.source, Wish())
        await booted(stage, intent)
        first = await given_identity(stage, intent)
        assert await given_identity(stage, intent) == first
        await stage.session.set_power(ref_to(intent.stamp), Power.OFF)
        await booted(stage, intent)
        assert await probed(stage, intent) == first

    with_guest(scenario)


def test_incomplete_parameters_change_nothing(with_guest: Play) -> None:
    """A command whose parameters were cut off on the way is refused as a whole."""

    async def scenario(stage: Stage) -> None:
        intent = await cloned(stage.session, stage.site.source, Wish())
        await booted(stage, intent)
        before = await probed(stage, intent)
        whole = identity(intent)
        cut = replace(whole, stdin=whole.stdin.removesuffix("end=1\n"))
        assert (await stage.session.guest_exec(ref_to(intent.stamp), cut)).exit_code != 0
        assert await probed(stage, intent) == before

    with_guest(scenario)


def test_quarantined_clone_has_no_address(with_guest: Play) -> None:
    """An address appears only after the links were set up, and it is nobody else's."""

    async def scenario(stage: Stage) -> None:
        wish = Wish()
        point = await frozen_point(stage.session, stage.site.source, wish)
        seen: list[str] = []
        for ordinal in (1, 2):
            intent = wish.clone_intent(point, ordinal=ordinal)
            await made(stage.session, intent)
            await booted(stage, intent)
            await given_identity(stage, intent)
            assert list(await stage.session.guest_addresses(ref_to(intent.stamp))) == []
            await stage.session.connect_network(ref_to(intent.stamp))
            await until(partial(_has_address, stage, intent))
            seen += await stage.session.guest_addresses(ref_to(intent.stamp))
        assert len(set(seen)) == len(seen) == 2

    with_guest(scenario)


async def _has_address(stage: Stage, intent: CloneIntent) -> bool:
    return bool(await stage.session.guest_addresses(ref_to(intent.stamp)))
