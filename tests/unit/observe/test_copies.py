"""Home copies are counted when they end, each once, and what they left out by rules that no user can name."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from tests.support.stories import copying
from tests.unit.observe.scrape import samples

from vmclone_operator.api.home import HomeCopyStatus
from vmclone_operator.domain.home_copy import CopyJobView, JobState
from vmclone_operator.homecopy.outcome import Ended
from vmclone_operator.observe.copies import CopyCounts


def counted(*ends: Ended, seconds: float = 3600) -> CollectorRegistry:
    """Return what is counted of a clone whose copies end so, one after the other."""
    sim = copying()
    registry = CollectorRegistry()
    sim.engine.copy_meter = CopyCounts(registry)
    sim.kubelet.outcomes = [*ends]
    sim.run(seconds)
    return registry


def test_every_attempt_counts_once_by_its_result() -> None:
    registry = counted(Ended.INTERRUPTED, Ended.HOST_KEY_MISMATCH, Ended.COPIED)
    assert samples(registry, "vmclone_homecopy_attempts_total") == {
        ("lab", "CopyFailed"): 1,
        ("lab", "HostKeyMismatch"): 1,
        ("lab", "Copied"): 1,
    }
    assert 20 <= samples(registry, "vmclone_homecopy_duration_seconds_sum")["lab", "Copied"] < 30


def test_what_a_copy_brought_and_left_out_counts_when_it_succeeds() -> None:
    failed = counted(Ended.INTERRUPTED, seconds=22)
    assert samples(failed, "vmclone_homecopy_files_total") == {}
    done = counted(Ended.INTERRUPTED, Ended.COPIED)
    assert samples(done, "vmclone_homecopy_files_total") == {("lab",): 7}
    assert samples(done, "vmclone_homecopy_bytes_total") == {("lab",): 700}
    assert samples(done, "vmclone_homecopy_excluded_files_total")["ssh-keys",] == 3


def test_a_rule_that_we_do_not_know_is_counted_under_no_name_of_its_own() -> None:
    registry = CollectorRegistry()
    receipt = HomeCopyStatus(excluded={"ssh-keys": 2, "made-up": 5})
    view = CopyJobView(state=JobState.ENDED, reason="Copied", receipt=receipt)
    CopyCounts(registry).copy_ended("lab", view)
    found = samples(registry, "vmclone_homecopy_excluded_files_total")
    assert {rule: number for rule, number in found.items() if number} == {("ssh-keys",): 2, ("other",): 5}
    assert samples(registry, "vmclone_homecopy_duration_seconds_count") == {}
