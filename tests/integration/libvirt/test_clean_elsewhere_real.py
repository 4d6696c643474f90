"""Mode Clean where the source is on another host: the CloneBackend says which network clones are on."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace

import pytest
from tests.contract.libvirt_backend import LibvirtFacts, open_session, scratch
from tests.integration.libvirt.steps import begun, clone_intent, ended, freeze_intent, stamp_of

from vmclone_operator.domain.backend import BackendSession, CloneIntent, Mode, OperationState, Shape
from vmclone_operator.domain.errors import CapabilityMissing

pytestmark = pytest.mark.libvirt
GOLDEN = "golden.qcow2"


async def intent_elsewhere(session: BackendSession, facts: LibvirtFacts) -> CloneIntent:
    """Return a clone of a golden image that is frozen already; its source is not on this host."""
    facts.make_image(GOLDEN)
    stamp = stamp_of(str(uuid.uuid4()))
    frozen = await begun(session, replace(freeze_intent(facts, stamp.vmclone_uid, "f1"), image=GOLDEN))
    assert (await ended(session, frozen)).state is OperationState.DONE
    shape = Shape(cpus=1, memory_bytes=64 << 20)
    return replace(clone_intent(facts, stamp, "f1"), mode=Mode.CLEAN, source_id=str(uuid.uuid4()), shape=shape)


def test_a_network_of_the_backend_that_is_not_there_is_refused_before_anything_is_made() -> None:
    async def scenario(facts: LibvirtFacts) -> None:
        async with open_session(facts, network="nowhere") as session:
            intent = await intent_elsewhere(session, facts)
            before = facts.volume_names()
            with pytest.raises(CapabilityMissing, match=r"no network nowhere .* spec\.libvirt\.network"):
                await session.start_clone(intent)
            assert facts.volume_names() == before
            named = replace(intent, shape=replace(intent.shape, networks=("default",)))
            await session.start_clone(named)
            assert len(facts.volume_names()) > len(before)

    with scratch() as facts:
        asyncio.run(scenario(facts))
