"""The crash matrix on Proxmox VE, engine and ledger included: killed before, after, or with the reply lost, at writes.

Every way of making a clone, at every write to the API server and to the cluster. Here one end is lived at every
sixth write, each way at others; `VMCLONE_MATRIX=whole hack/test crash tests/crash/test_proxmox_matrix.py` lives all.
"""

from __future__ import annotations

import os
from functools import cache

import pytest
from tests.crash.proxmox_lives import WAYS, live

from vmclone_operator.domain.backend import Stamp
from vmclone_operator.providers.fake import Fault, FaultKind, FaultSchedule, Point, at_index, seeded
from vmclone_operator.providers.proxmox.seeds import Seeds

ENDS = (FaultKind.KILL_BEFORE, FaultKind.KILL_AFTER, FaultKind.LOSE_REPLY)
WHOLE = os.environ.get("VMCLONE_MATRIX") == "whole"
SAMPLE = 6
SEEDS = int(os.environ.get("VMCLONE_SEEDS", "8"))
FAULTY_CALLS = 250


@cache
def writes(way: str) -> tuple[Point, ...]:
    """Return the writes of a life without faults."""
    schedule = FaultSchedule(record=True)
    problem = live(WAYS[way], schedule)
    assert not problem, problem
    return tuple(point for point in schedule.trace if point.writes)


@pytest.mark.parametrize("way", WAYS)
def test_a_life_is_as_long_as_it_was_thought(way: str) -> None:
    """The yardstick: a matrix over a life that ends early proves nothing."""
    pve = [point for point in writes(way) if point.verb == "pve"]
    assert len(pve) > 8
    assert {point.call.split()[0] for point in pve} == {"POST", "PUT", "DELETE"}
    assert len(writes(way)) > len(pve) + 8


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("way", WAYS)
def test_cut_off_at_any_write_a_life_ends_as_one_without(way: str, end: FaultKind) -> None:
    """One VM for each frozen point and replica, no volume, seed, template or id left, nothing foreign touched."""
    wrong, first = [], (3 * list(WAYS).index(way) + ENDS.index(end)) % SAMPLE
    for place, point in enumerate(writes(way)):
        if WHOLE or place % SAMPLE == first:
            problem = live(WAYS[way], FaultSchedule(at_index(point.index, Fault(kind=end))))
            wrong += [f"{end} at {point}: {problem}"] if problem else []
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_life_of_random_faults_ends_as_one_without(seed: int) -> None:
    """A tenth of all calls are lost, refused, hang or kill the operator, until the clone is nearly made."""
    kinds = set(FaultKind) - {FaultKind.MEANWHILE}
    way = sorted(WAYS)[seed % len(WAYS)]
    schedule = FaultSchedule(seeded(seed, rate=0.1, until=FAULTY_CALLS, kinds=kinds))
    assert not live(WAYS[way], schedule, frozen_once=False), (seed, way)


async def _leaves_seeds(_: Seeds, stamp: Stamp, node: str) -> bool:  # noqa: ARG001 - as the real one is called
    return True


def test_a_seed_that_is_left_does_not_go_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Seeds, "remove", _leaves_seeds)
    assert "left: " in live(WAYS["full"], FaultSchedule())
