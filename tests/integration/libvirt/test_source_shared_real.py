"""One real source that two VMClones have stopped: how it was is handed over, and the last of them starts it again."""

from __future__ import annotations

from typing import Any

import pytest
from tests.crash.libvirt_site import Site
from tests.support.unbooted_story import Story

from vmclone_operator.providers.libvirt import switches

pytestmark = pytest.mark.libvirt
STOP: dict[str, Any] = {"sourcePower": "StopForClone", "disk": {"consistency": "PoweredOff"}}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch a source off that does not obey within a moment: one that boots nothing never does."""
    monkeypatch.setattr(switches, "SHUTDOWN_SECONDS", 0.05)


@pytest.mark.usefixtures("impatient")
def test_a_source_that_two_vmclones_stop_runs_again_once_both_have_their_clones(running_site: Site) -> None:
    run = running_site.source.ID()
    with Story(running_site) as story:
        other = f"{story.name}-b"
        story.wish(replicas=1, **STOP)
        story.make(other, replicas=1, **STOP)
        story.wait_ready("", replicas=1)
        assert running_site.source.isActive()
        assert running_site.source.ID() > run
        assert [name for name in ("", other) if "sourcePower" in story.status(name)] == []
        points = [story.status(name)["frozenPoints"][0]["consistency"] for name in ("", other)]
        assert points == ["PoweredOff", "PoweredOff"]


@pytest.mark.usefixtures("impatient")
def test_one_that_is_deleted_leaves_the_source_to_the_other(running_site: Site) -> None:
    with Story(running_site) as story:
        other = f"{story.name}-b"
        story.wish(replicas=1, **STOP)
        story.wish(other, replicas=1, **STOP)
        story.run_until(lambda: not running_site.source.isActive(), "it never was stopped")
        story.remove()
        story.wait_ready(other, replicas=1)
        assert running_site.source.isActive()
        assert "sourcePower" not in story.status(other)
