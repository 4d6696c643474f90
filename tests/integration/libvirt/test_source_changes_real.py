"""A source that is switched on while its disks are copied gives no frozen point, however short it ran."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from tests.contract.libvirt_backend import LibvirtFacts, open_libvirt
from tests.integration.libvirt.steps import INSTANCE, ended, freeze_intent, gone

from vmclone_operator.domain.backend import Owner
from vmclone_operator.domain.errors import SourceChanged

pytestmark = pytest.mark.libvirt


def test_a_source_that_ran_in_between_is_noticed() -> None:
    seen: list[LibvirtFacts] = []

    def start_and_stop() -> None:
        """Stand in for a person: called just before the disk is copied."""
        if seen:
            source = seen[0].connection.lookupByUUIDString(seen[0].source_id)
            source.create()
            source.destroy()

    async def run() -> None:
        async with open_libvirt(fence=start_and_stop) as (session, facts):
            seen.append(facts)
            uid = str(uuid.uuid4())
            frozen = await session.freeze(freeze_intent(facts, uid, "f1"))
            with pytest.raises(SourceChanged):
                await ended(session, frozen.operation)
            seen.clear()
            await gone(lambda: session.release_frozen(Owner(instance=INSTANCE, vmclone_uid=uid), "f1"))
            assert facts.volume_names() == []

    asyncio.run(run())
