"""The crash tests of mode Clean are themselves tested: each of these engine bugs, planted alone, must be noticed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import tests.crash.clean_lives
import tests.crash.lives
from tests.crash.clean_lives import live_clean
from tests.crash.lives import begin_clean, wait_ready
from tests.support import manifests

from vmclone_operator.domain.steps import Do
from vmclone_operator.engine.home.home_steps import HomeSteps
from vmclone_operator.engine.jobs.copy_jobs import CopyJobs
from vmclone_operator.engine.removal import teardown
from vmclone_operator.engine.replica import replica_steps
from vmclone_operator.engine.secrets import seed_secret
from vmclone_operator.engine.source import copy_queue
from vmclone_operator.homecopy.outcome import Ended
from vmclone_operator.kube.cluster import Key, Kind
from vmclone_operator.providers.fake import FaultSchedule

Plant = Callable[[pytest.MonkeyPatch], None]


def calm() -> str:
    """Return what is wrong after a life in which nothing goes wrong."""
    outcome = live_clean(FaultSchedule())
    fine = (outcome.left_at_ready, outcome.left_at_end, outcome.keys_at_ready) == ((), (), 0)
    made_once = outcome.defines == outcome.boots == (1, 1)
    return "" if fine and made_once and outcome.receipts == (True,) else str(outcome)


def queued() -> str:
    """Return what is wrong when three homes are copied one after the other."""
    sim = begin_clean(FaultSchedule(), replicas=3)
    sim.cluster.apply(Kind.SOURCE, manifests.clean_source(limits={"maxParallelCopies": 1}))
    wait_ready(sim, 3)
    return "" if list(sim.kubelet.most_at_once.values()) == [1] else "more than one at a time"


def cut() -> str:
    """Return what is wrong when the first attempt is cut."""
    sim = begin_clean(FaultSchedule(), replicas=1)
    sim.kubelet.outcomes = [Ended.INTERRUPTED]
    wait_ready(sim, 1)
    return "" if len(sim.kubelet.runs) == 2 else "ready without its home"


def _limit_is_not_kept(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(copy_queue, "queue_position", lambda *_, **__: 0)


def _secret_is_left(patch: pytest.MonkeyPatch) -> None:
    async def remove(self: CopyJobs, name: str, _: str) -> bool:
        job = await self.cluster.get(Key(Kind.JOB, self.settings.namespace, name))
        if job is not None:
            await self.cluster.delete(Kind.JOB, job)
        return job is None

    patch.setattr(CopyJobs, "remove", remove)


def _key_stays_in_the_guest(patch: pytest.MonkeyPatch) -> None:
    async def close(*_: object, **__: object) -> None:
        return None

    patch.setattr(HomeSteps, "_close", close)


def _job_before_its_intent(patch: pytest.MonkeyPatch) -> None:
    right = HomeSteps.reserve_copy

    async def reserve(self: HomeSteps, situation: Any, status: Any) -> Any:
        return await self.start_copy(situation, await right(self, situation, status))

    async def unseen(*_: object) -> bool:
        return True

    patch.setitem(replica_steps._HOME_ACTS, Do.RESERVE_COPY, reserve)
    patch.setattr(HomeSteps, "_runs", unseen)  # the second line of defence is down, too


def _host_key_is_kept(patch: pytest.MonkeyPatch) -> None:
    async def forget(*_: object) -> None:
        return None

    patch.setattr(seed_secret, "forget_host_key", forget)


def _vm_goes_before_its_copy(patch: pytest.MonkeyPatch) -> None:
    async def end(*_: object) -> bool:
        return True

    patch.setattr(teardown, "_end_copies", end)


def _failed_copy_counts_as_done(patch: pytest.MonkeyPatch) -> None:
    right = HomeSteps.record_copy

    async def record(self: HomeSteps, situation: Any, status: Any) -> Any:
        job = replace(situation.home.job, reason="Copied")
        return await right(self, replace(situation, home=replace(situation.home, job=job)), status)

    patch.setitem(replica_steps._HOME_ACTS, Do.RECORD_COPY, record)


MUTATIONS: dict[str, tuple[Plant, Callable[[], str]]] = {
    "the limit of the source is not kept": (_limit_is_not_kept, queued),
    "the Secret of a copy is left behind": (_secret_is_left, calm),
    "the key of a copy stays in the guest": (_key_stays_in_the_guest, calm),
    "a Job is made before its intent": (_job_before_its_intent, calm),
    "the clone's host key is kept in its Secret": (_host_key_is_kept, calm),
    "the VM goes before its copy": (_vm_goes_before_its_copy, calm),
    "a failed copy counts as done": (_failed_copy_counts_as_done, cut),
}


@pytest.mark.parametrize("life", [calm, queued, cut], ids=lambda life: life.__name__)
def test_the_right_engine_passes_these_lives(life: Callable[[], str]) -> None:
    """Otherwise they would catch anything."""
    assert life() == ""


@pytest.mark.parametrize(("plant", "life"), MUTATIONS.values(), ids=MUTATIONS.keys())
def test_a_planted_bug_is_caught(plant: Plant, life: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each promise about home copies has a bug that breaks it, and is seen to."""
    plant(monkeypatch)
    for module in (tests.crash.lives, tests.crash.clean_lives):
        monkeypatch.setattr(module, "PATIENCE_SECONDS", 600.0)
    try:
        said = life()
    except AssertionError as error:
        said = str(error)
    assert said, "the bug survives: an oracle is missing"
