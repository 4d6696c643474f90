"""What of a status is news, and what are only figures that moved by themselves."""

from __future__ import annotations

import pytest

from vmclone_operator.api.base import Condition
from vmclone_operator.api.plan import PlanAction, PlanEstimate, PlanStatus
from vmclone_operator.api.vmclone import ProgressStatus, VMCloneStatus
from vmclone_operator.domain.figures import differ_only_in_figures, only_bytes_moved

ROOM = "the pool vms has 900 MiB free, 5000 MiB are needed (15 % margin included)"


def status(
    room: str = ROOM, *, message: str = "", bytes_: int = 7, replica: str = "dev-1", reason: str = "Blocked"
) -> VMCloneStatus:
    condition = Condition(
        type="Planned",
        status="False",
        reason=reason,
        message=message or room,
        observed_generation=1,
        last_transition_time="2026-01-01T00:00:00Z",
    )
    plan = PlanStatus(
        actions=(PlanAction(op="Create", replica=replica, why="ScaleUp"),),
        estimate=PlanEstimate(bytes=bytes_),
        blockers=(room,),
    )
    return VMCloneStatus(plan=plan, conditions=(condition,))


ROWS = {
    "nothing changed": (status(), False),
    "the free space moved": (status(ROOM.replace("900 MiB", "12 MiB")), True),
    "what is needed moved": (status(ROOM.replace("5000 MiB", "5001 MiB")), True),
    "it says something else": (status(message="3 clones need 90000 bytes"), False),
    "the source grew, so that the estimate moved": (status(bytes_=8), True),
    "another pool is meant": (status(ROOM.replace("vms", "fast")), False),
    "another margin is meant": (status(ROOM.replace("15 %", "20 %")), False),
    "there is another blocker": (status("the source is locked"), False),
    "another replica is meant": (status(replica="dev-2"), False),
    "it has another reason": (status(reason="InsufficientSpace"), False),
    "a count that is no size moved": (status(message="2/3 ready"), False),
}


@pytest.mark.parametrize(("after", "expected"), ROWS.values(), ids=ROWS.keys())
def test_only_sizes_are_figures_that_move_by_themselves(after: VMCloneStatus, *, expected: bool) -> None:
    assert differ_only_in_figures(status(), after) is expected


def progress(percent: int, done: int, *, room: str = ROOM) -> VMCloneStatus:
    return status(room).model_copy(update={"progress": ProgressStatus(percent=percent, done_bytes=done)})


BYTES = {
    "nothing changed": (progress(61, 1), False),
    "bytes alone": (progress(61, 2), True),
    "bytes and the percentage": (progress(62, 2), False),
    "bytes and the free space": (progress(61, 2, room=ROOM.replace("900 MiB", "12 MiB")), False),
}


@pytest.mark.parametrize(("after", "expected"), BYTES.values(), ids=BYTES.keys())
def test_bytes_alone_are_no_news(after: VMCloneStatus, *, expected: bool) -> None:
    assert only_bytes_moved(progress(61, 1), after) is expected


def test_bytes_make_no_news_of_other_figures() -> None:
    after = progress(61, 2, room=ROOM.replace("900 MiB", "12 MiB"))
    assert differ_only_in_figures(progress(61, 1), after)
