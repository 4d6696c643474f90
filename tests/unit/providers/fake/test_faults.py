"""A fault strikes exactly where its schedule says, with the effect and the error that its kind promises."""

from __future__ import annotations

from datetime import timedelta

import pytest

from vmclone_operator.domain.errors import BackendUnreachable, CloneFailed, RetryLater
from vmclone_operator.providers.fake import Fault, FaultKind, FaultSchedule, Killed, at_call, at_index, seeded

EXPECTED: dict[str, tuple[Fault, type[BaseException], int, float]] = {
    "refused: no effect": (Fault(kind=FaultKind.FAIL), BackendUnreachable, 0, 0),
    "refused in its own words": (Fault(kind=FaultKind.FAIL, error=CloneFailed("no")), CloneFailed, 0, 0),
    "reply lost: effect": (Fault(kind=FaultKind.LOSE_REPLY), BackendUnreachable, 1, 0),
    "hang: no effect, time passes": (Fault(kind=FaultKind.HANG, delay_seconds=30), BackendUnreachable, 0, 30),
    "throttled: no effect": (Fault(kind=FaultKind.THROTTLE), RetryLater, 0, 0),
    "killed before: no effect": (Fault(kind=FaultKind.KILL_BEFORE), Killed, 0, 0),
    "killed after: effect": (Fault(kind=FaultKind.KILL_AFTER), Killed, 1, 0),
}


class Target:
    """Something with an effect, and a clock."""

    def __init__(self, schedule: FaultSchedule) -> None:
        self.schedule, self.effects, self.seconds = schedule, 0, 0.0

    def call(self, name: str = "define") -> None:
        self.schedule.run("start_clone", name, "x", self._effect, advance=self._advance, writes=True)

    def _effect(self) -> None:
        self.effects += 1

    def _advance(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.mark.parametrize(("fault", "error", "effects", "seconds"), EXPECTED.values(), ids=EXPECTED.keys())
def test_fault_has_the_effect_of_its_kind(
    fault: Fault, error: type[BaseException], effects: int, seconds: float
) -> None:
    target = Target(FaultSchedule(at_index(0, fault)))
    with pytest.raises(error):
        target.call()
    assert (target.effects, target.seconds) == (effects, seconds)
    assert target.schedule.killed is issubclass(error, Killed)


def test_throttling_says_how_long_to_wait() -> None:
    target = Target(FaultSchedule(at_index(0, Fault(kind=FaultKind.THROTTLE, retry_after_seconds=7))))
    with pytest.raises(RetryLater) as caught:
        target.call()
    assert caught.value.retry_after == timedelta(seconds=7)


def test_fault_at_an_index_strikes_once() -> None:
    target = Target(FaultSchedule(at_index(1, Fault(kind=FaultKind.FAIL)), record=True))
    target.call()
    with pytest.raises(BackendUnreachable):
        target.call()
    target.call()
    assert [point.index for point in target.schedule.trace] == [0, 1, 2]
    assert [str(point) for point, _ in target.schedule.struck] == ["1:start_clone/define(x)"]


def test_fault_at_a_call_skips_and_repeats_as_told() -> None:
    target = Target(FaultSchedule(at_call("define", Fault(kind=FaultKind.FAIL), skip=1, times=2)))
    target.call("create overlay")
    target.call()
    for _ in range(2):
        with pytest.raises(BackendUnreachable):
            target.call()
    target.call()
    assert target.effects == 3


def test_kill_can_be_caught_by_nothing_that_catches_errors() -> None:
    assert not issubclass(Killed, Exception)


def test_dead_process_stays_dead_after_a_restart() -> None:
    schedule = FaultSchedule()
    first = schedule.process
    schedule.check_alive(first)
    schedule.restart()
    schedule.check_alive(schedule.process)
    with pytest.raises(Killed):
        schedule.check_alive(first)


def strikes(seed: int) -> list[tuple[int, str]]:
    schedule = FaultSchedule(seeded(seed, rate=0.3, until=50))
    target = Target(schedule)
    for _ in range(80):
        try:
            target.call()
        except (RetryLater, CloneFailed):
            continue
        except Killed:
            schedule.restart()
    return [(point.index, fault.kind) for point, fault in schedule.struck]


def test_seed_repeats_itself_and_ends() -> None:
    assert strikes(7) == strikes(7) != strikes(8)
    assert 5 < len(strikes(7)) < 30
    assert all(index < 50 for index, _ in strikes(7))
