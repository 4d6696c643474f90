"""What every backend promises about switching a source: only as asked, safe to repeat, and said when it did nothing."""

from __future__ import annotations

import asyncio

import pytest
from tests.contract.backends import Play, Stage

from vmclone_operator.domain.backend import Power
from vmclone_operator.domain.errors import LeadershipLost, SourceNotFound

_PATIENCE_SECONDS = 90.0


async def switch(stage: Stage, source_id: str, power: Power) -> None:
    """Ask until it is so: a guest may take a while to shut down, and a server's task says nothing while it runs."""
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while (await stage.session.describe_source(source_id)).power is not power:
            if not await stage.session.set_source_power(source_id, power):
                await asyncio.sleep(0.05)


def other(power: Power) -> Power:
    return Power.OFF if power is Power.ON else Power.ON


def test_source_is_switched_and_put_back(on_backend: Play) -> None:
    """Sentence: it is as we found it; a call that had nothing to do says so."""

    async def scenario(stage: Stage) -> None:
        found = await stage.session.describe_source(stage.site.source)
        assert not await stage.session.set_source_power(found.source_id, found.power)
        await switch(stage, found.source_id, other(found.power))
        switched = await stage.session.describe_source(stage.site.source)
        assert switched.power is other(found.power)
        await switch(stage, found.source_id, found.power)
        assert (await stage.session.describe_source(stage.site.source)).power is found.power

    on_backend(scenario)


def test_unknown_source_is_not_switched(on_backend: Play) -> None:
    """A VM that is gone is said to be gone."""

    async def scenario(stage: Stage) -> None:
        with pytest.raises(SourceNotFound):
            await stage.session.set_source_power("8f14e45f-ceea-467f-a9d4-7c7e6b3d00ff", Power.ON)

    on_backend(scenario)


def test_nobody_but_the_leader_switches_a_source(on_backend: Play) -> None:
    """The fence stands before this write as before every other."""

    async def scenario(stage: Stage) -> None:
        found = await stage.session.describe_source(stage.site.source)
        stage.operator.leads = False
        with pytest.raises(LeadershipLost):
            await stage.session.set_source_power(found.source_id, other(found.power))
        assert (await stage.session.describe_source(stage.site.source)).power is found.power

    on_backend(scenario)
