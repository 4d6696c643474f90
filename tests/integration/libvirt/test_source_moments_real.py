"""A source's moments over a real libvirtd: switched for a clone, started, renamed or given up while it is copied."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import libvirt
import pytest
from tests.crash.libvirt_lives import Place, places
from tests.crash.libvirt_site import Site
from tests.integration.libvirt import shapes
from tests.support import manifests
from tests.support.unbooted_story import INSTANCE, NAMESPACE, Story

from vmclone_operator.domain import naming
from vmclone_operator.kube.cluster import Key, Kind
from vmclone_operator.providers.fake import Fault, FaultKind, FaultSchedule, at_call
from vmclone_operator.providers.libvirt import switches
from vmclone_operator.providers.libvirt.session import BULK_WORKERS

pytestmark = pytest.mark.libvirt
STOP: dict[str, Any] = {"sourcePower": "StopForClone", "disk": {"consistency": "PoweredOff"}}
START: dict[str, Any] = {"sourcePower": "StartForCopy"}
CRASH: dict[str, Any] = {"disk": {"consistency": "CrashConsistent"}}


def reasons_until_ready(story: Story) -> set[str]:
    """Return what the wish was stalled with on its way."""
    told: set[str] = set()

    def ready() -> bool:
        told.add(story.told("Stalled")[0])
        return story.is_ready("", 1)

    story.run_until(ready, "it never was ready")
    return told - {""}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch a source off without asking it first: one that boots nothing never obeys."""
    monkeypatch.setattr(switches, "SHUTDOWN_SECONDS", 0.0)


@pytest.mark.usefixtures("impatient")
def test_a_running_source_is_stopped_for_its_frozen_point_and_runs_again(running_site: Site) -> None:
    run, seen = running_site.source.ID(), []
    look = Fault(kind=FaultKind.MEANWHILE, meanwhile=lambda: seen.append(running_site.source.isActive()))
    with Story(running_site, FaultSchedule(at_call("copy_disks", look))) as story:
        story.make(replicas=1, **STOP)
        assert seen == [0]
        assert running_site.source.isActive()
        assert running_site.source.ID() != run
        assert story.status()["frozenPoints"][0]["consistency"] == "PoweredOff"
        assert "sourcePower" not in story.status()


@pytest.mark.usefixtures("impatient")
def test_a_source_whose_owner_does_not_allow_it_is_not_stopped(running_site: Site) -> None:
    run = running_site.source.ID()
    with Story(running_site) as story:
        story.grant(allowedSourcePower=[])
        story.wish(replicas=1, **STOP)
        story.sim.run(300)
        assert story.told("Stalled")[0] == "SourcePowerNotAllowed"
        assert running_site.source.ID() == run
        assert story.host.schedule.trace == []


def _while_it_is_stopped(record: FaultSchedule) -> list[Place]:
    """Return the writes from the one that says how the source was found to the one that forgets it."""
    writes = places(record.trace)
    own = [n for n, place in enumerate(writes) if place.verb == "set_source_power"]
    return [place for place in writes[own[0] - 1 : own[-1] + 2] if place.call != "status VMCloneReplica"]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", [FaultKind.KILL_AFTER, FaultKind.LOSE_REPLY])
def test_the_source_runs_again_whatever_goes_wrong_at_any_write(running_site: Site, kind: FaultKind) -> None:
    """Whoever is killed between stopping it and starting it again, the next one knows how it was."""
    record, wrong = FaultSchedule(record=True), []
    with Story(running_site, record) as story:
        story.make(replicas=1, **STOP)
        story.remove()
    for place in _while_it_is_stopped(record):
        with Story(running_site, place.schedule(kind)) as story:
            story.make(replicas=1, **STOP)
            told = story.status().get("sourcePower")
            story.remove()
        if told or running_site.look().files or not running_site.source.isActive():
            wrong.append(f"{kind} at {place}: {told} {running_site.look()}")
    print(f"{kind}: {len(_while_it_is_stopped(record))} lives")  # noqa: T201  - a matrix says how much it covers
    assert not wrong, "\n".join(wrong)


@pytest.mark.usefixtures("impatient")
def test_a_source_that_is_off_is_started_for_the_copy_of_its_home_and_off_again(story: Story) -> None:
    site, home = story.site, {**manifests.HOME, "address": "192.0.2.1"}
    site.facts.make_image("golden")
    story.sim.cluster.apply(Kind.SECRET, manifests.home_key())
    story.grant(modes=["Clean"], images=[{"backend": "lab", "volume": "golden"}], home=home)
    story.wish(replicas=1, **START)
    story.run_until(lambda: bool(story.sim.kubelet.running()), "no home is copied")
    assert site.source.isActive()
    assert story.status()["sourcePower"]["was"] == "Off"
    story.wait_ready(replicas=1)
    assert not site.source.isActive()
    assert "sourcePower" not in story.status()
    assert len(story.sim.kubelet.runs) == 1


def test_a_source_that_is_started_while_it_is_copied_is_frozen_again_as_it_runs(site: Site) -> None:
    source = site.source
    start = Fault(kind=FaultKind.MEANWHILE, meanwhile=source.create)
    with Story(site, FaultSchedule(at_call("copy_disks", start))) as story:
        story.wish(replicas=1, **CRASH)
        assert reasons_until_ready(story) == {"SourceChanged"}
        (point,) = story.status()["frozenPoints"]
        assert point["consistency"] == "CrashConsistent"
        assert site.look().files[-1] == "frozen vda whole x1"


def test_a_source_that_is_renamed_while_it_is_copied_is_the_same_source(site: Site) -> None:
    source, name = site.source, f"{site.facts.source_name}-renamed"
    rename = Fault(kind=FaultKind.MEANWHILE, meanwhile=lambda: source.rename(name))
    with Story(site, FaultSchedule(at_call("copy_disks", rename))) as story:
        story.sim.cluster.apply(Kind.SOURCE, manifests.source(vm=site.facts.source_id))
        story.wish(replicas=1)
        assert reasons_until_ready(story) == set()
        assert site.source.name() == name
        assert sum(point.call == "copy_disks" for point in story.host.schedule.trace) == 1


def test_a_wish_that_is_deleted_while_its_source_is_copied_waits_for_the_copy_and_leaves_nothing(story: Story) -> None:
    story.host.copies.clear()
    story.wish(replicas=2)
    story.run_until(lambda: bool(frozen_point(story).get("frozenTime")), "nothing was copied")
    assert story.host.copying.wait(10)
    story.sim.cluster.remove(Key(Kind.VMCLONE, NAMESPACE, story.name))
    story.sim.run(60)
    assert story.find() is not None, "who could tell yet that nothing will be left?"
    story.host.copies.set()
    story.run_until(lambda: story.find() is None, "the VMClone did not go")
    assert (story.site.look().clones, story.site.look().files) == ((), ())
    assert story.host.defines == {}


def _occupied(story: Story) -> list[Future[bool]]:
    """Let others' copies take all the threads there are for them."""
    story.host.copies.clear()
    bulk = story.host.sessions[-1]._bulk
    return [bulk.submit(lambda _: story.host.copies.wait(60)) for _ in range(BULK_WORKERS)]


@pytest.mark.parametrize(("copy", "waits"), [("Linked", "the source's copy"), ("Full", "the clones' copies")])
def test_a_wish_that_is_deleted_before_its_copies_had_their_turn_goes_at_once_and_leaves_nothing(
    story: Story, copy: str, waits: str
) -> None:
    story.sim.run(5)
    others = _occupied(story) if waits == "the source's copy" else []
    story.wish(replicas=2, disk={"copy": copy})
    known = "frozenTime" if waits == "the source's copy" else "completionTime"
    story.run_until(lambda: known in frozen_point(story), "nothing was asked for")
    if waits == "the clones' copies":
        others = _occupied(story)
        story.sim.run(5)
    story.remove()
    assert not any(other.done() for other in others)
    assert (story.site.look().clones, story.site.look().files) == ((), ())
    story.host.copies.set()
    story.sim.run(120)
    assert (story.site.look().clones, story.site.look().files) == ((), ())
    assert story.host.defines == {}


def frozen_point(story: Story) -> dict[str, Any]:
    points = story.status().get("frozenPoints") or [{}]
    return dict(points[0])


@pytest.fixture
def large_running_site(site: Site) -> Iterator[Site]:
    """Run a source whose backup takes a while: nothing on its disk is empty."""
    path = site.facts.pool_path / "large.raw"
    with path.open("wb") as file:
        for _ in range(300):
            file.write(bytes(range(1, 256)) * 4096)
    path.chmod(0o666)
    site.facts.pool.refresh()
    site.facts = shapes.define(site.facts, shapes.DiskSpec(path=path, format="raw"))
    site.source.create()
    yield site
    site.source.destroy()


def test_a_wish_that_is_deleted_while_its_source_is_backed_up_leaves_no_backup_and_no_volume(
    large_running_site: Site,
) -> None:
    run = large_running_site.source.ID()
    with Story(large_running_site) as story:
        story.wish(replicas=2, **CRASH)
        story.run_until(lambda: bool(frozen_point(story).get("frozenTime")), "nothing was copied")
        uid = (story.find() or {})["metadata"]["uid"]
        story.remove()
        assert not [
            name for name in story.site.facts.volume_names() if name.startswith(naming.frozen_prefix(INSTANCE, uid))
        ]
        assert large_running_site.source.ID() == run
        assert large_running_site.source.jobInfo()[0] == libvirt.VIR_DOMAIN_JOB_NONE
