"""The crash matrix over backends that are slow and far away: killed before, after, or with the reply lost, at a write.

Every run lives a fixed sample, every n-th write, and prints what it was; all of them, a few minutes by hand:
`VMCLONE_EVERY=1 hack/test crash tests/crash/test_profiles_matrix.py`.
"""

from __future__ import annotations

import os
from functools import cache

import pytest
from tests.crash.lives import Outcome, difference, live

from vmclone_operator.providers.fake import Fault, FaultKind, FaultSchedule, Point, at_index
from vmclone_operator.providers.fake.profiles import AZURE, PROXMOX, Profile

PROFILES = {"proxmox": PROXMOX, "azure": AZURE}
KINDS = {"before": FaultKind.KILL_BEFORE, "after": FaultKind.KILL_AFTER, "reply lost": FaultKind.LOSE_REPLY}
EVERY = int(os.environ.get("VMCLONE_EVERY", "9"))


@cache
def undisturbed(name: str) -> tuple[tuple[Point, ...], Outcome]:
    schedule = FaultSchedule(record=True)
    outcome = live(schedule, profile=PROFILES[name], grows=True)
    return tuple(point for point in schedule.trace if point.writes), outcome


@pytest.mark.parametrize("name", PROFILES)
def test_an_undisturbed_life_on_a_slow_backend_makes_each_clone_once_and_leaves_nothing(name: str) -> None:
    """The yardstick of the matrix is itself held against the promise."""
    writes, outcome = undisturbed(name)
    assert len(writes) >= 30
    assert outcome.defines == outcome.boots == (1, 1)
    assert len(outcome.ready.clones) == 2
    assert all("own_identity=True" in line and "connected=True" in line for line in outcome.ready.clones)
    assert (outcome.end.clones, outcome.end.files, outcome.end.frozen_points) == ((), (), ())


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_at_a_write_to_a_slow_backend_changes_nothing_in_the_end(kind: str, name: str) -> None:
    """One VM for each replica, and afterwards nothing that was not there before."""
    profile: Profile = PROFILES[name]
    writes, expected = undisturbed(name)
    sample = writes[list(KINDS).index(kind) % EVERY :: EVERY]
    assert sample
    print(f"{name}, {kind}: {len(sample)} of {len(writes)} writes, every {EVERY}th")  # noqa: T201  - what was sampled
    wrong = []
    for point in sample:
        schedule = FaultSchedule(at_index(point.index, Fault(kind=KINDS[kind])))
        problem = difference(expected, schedule, profile=profile, grows=True)
        assert schedule.struck, f"nothing struck at {point}"
        if problem:
            wrong.append(f"{kind} at {point}: {problem}")
    assert not wrong, "\n".join(wrong)
