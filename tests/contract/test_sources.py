"""What every backend promises about the VMs that may be cloned: found by name or id, and never another one."""

from __future__ import annotations

import pytest
from tests.contract.backends import Play, Stage

from vmclone_operator.domain.backend import PlanWish
from vmclone_operator.domain.errors import CloneError, SourceNotFound


def test_backend_says_who_it_is(on_backend: Play) -> None:
    """An administrator sees in status which software answered."""

    async def scenario(stage: Stage) -> None:
        info = await stage.session.check()
        assert info.version
        assert "Disk" in info.capabilities.modes

    on_backend(scenario)


def test_source_is_found_by_name_and_by_id(on_backend: Play) -> None:
    """A CloneSource may use either; both give the same VM and the same fingerprint."""

    async def scenario(stage: Stage) -> None:
        by_name = await stage.session.describe_source(stage.site.source)
        assert await stage.session.describe_source(by_name.source_id) == by_name
        assert by_name.fingerprint.startswith("sha256:")
        assert by_name.disks
        assert by_name.macs

    on_backend(scenario)


def test_unknown_source_is_refused(on_backend: Play) -> None:
    """A typing error must not become another VM."""

    async def scenario(stage: Stage) -> None:
        with pytest.raises(SourceNotFound):
            await stage.session.describe_source("no-such-vm")

    on_backend(scenario)


def test_healthy_source_has_no_blockers(on_backend: Play) -> None:
    """Preflight invents no reasons, and changes nothing."""

    async def scenario(stage: Stage) -> None:
        before = (stage.site.files(), stage.site.vms())
        source = await stage.session.describe_source(stage.site.source)
        assert list(await stage.session.preflight(source, PlanWish(replicas=2))) == []
        assert (stage.site.files(), stage.site.vms()) == before

    on_backend(scenario)


def test_closed_session_says_so_and_its_work_goes_on(on_backend: Play) -> None:
    """Closing ends the connection only: another session sees everything that was made."""

    async def scenario(stage: Stage) -> None:
        before = (stage.site.files(), stage.site.vms())
        async with stage.site.session(stage.operator) as second:
            await second.check()
        with pytest.raises(CloneError):
            await second.check()
        await stage.session.check()
        assert (stage.site.files(), stage.site.vms()) == before

    on_backend(scenario)
