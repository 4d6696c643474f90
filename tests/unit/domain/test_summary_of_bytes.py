"""How many bytes of home copies a VMClone tells: those that somebody knows."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.domain.test_summary import UID, WRITER, copying, new

from vmclone_operator.api.home import HomeCopyStatus
from vmclone_operator.domain.summary import ReplicaReport, bytes_of_copies


def carrying(ordinal: int, done: int, total: int, *, state: str = "Running", receipt: int = 0) -> ReplicaReport:
    """Return a replica with these bytes in its step HomeCopy, and with a receipt of that many if there is one."""
    made = copying(ordinal, state=state)
    step = made.status.steps[0].model_copy(update={"done_bytes": done, "total_bytes": total})
    copied = HomeCopyStatus(bytes=receipt, completion_time=WRITER.now) if receipt else None
    status = made.status.model_copy(update={"steps": (step,), "home_copy": copied})
    return ReplicaReport(ordinal=ordinal, session=made.session, uid=UID, deleting=False, status=status)


BYTES = {
    "copies that run are summed up": ([carrying(1, 100, 700), carrying(2, 0, 700)], (100, 1400)),
    "one that is done counts whole": ([carrying(1, 0, 0, state="Done", receipt=700)], (700, 700)),
    "a refresh of it counts no second time": ([carrying(1, 10, 720, receipt=700)], (700, 700)),
    "one that failed says nothing": ([carrying(1, 100, 700, state="Failed")], (0, 0)),
    "of one that waits nobody knows": ([copying(1, position=1), new(2)], (0, 0)),
    "a replica that is removed does not count": ([replace(carrying(1, 1, 2), deleting=True)], (0, 0)),
}


@pytest.mark.parametrize(("reports", "told"), BYTES.values(), ids=BYTES.keys())
def test_bytes_are_those_of_home_copies_that_are_known(reports: list[ReplicaReport], told: tuple[int, int]) -> None:
    assert bytes_of_copies(reports) == told
