"""A VMClone's story in a few Events: what changed, once."""

from __future__ import annotations

import pytest

from vmclone_operator.api.base import Condition
from vmclone_operator.api.vmclone import FrozenPointStatus, VMCloneStatus
from vmclone_operator.domain.story import news

WHEN = "2026-01-01T00:00:00Z"
POINT = FrozenPointStatus(id="a", source_id="s", recorded_time=WHEN, frozen_time=WHEN, consistency="Quiesced")


def status(reason: str = "Progressing", *, ready: int = 0, stalled: bool = False, points: bool = True) -> VMCloneStatus:
    def condition(kind: str, word: str) -> Condition:
        return Condition(
            type=kind, status=word, reason=reason, message="m", observed_generation=1, last_transition_time=WHEN
        )

    told = [condition("Ready", "True" if reason == "AllReady" else "False")]
    told += [condition("Stalled", "True")] if stalled else []
    return VMCloneStatus(conditions=tuple(told), ready_replicas=ready, frozen_points=(POINT,) if points else ())


NEWS: dict[str, tuple[VMCloneStatus, VMCloneStatus, list[str]]] = {
    "nothing changed": (status(), status(), []),
    "the source is frozen": (status(points=False), status(), ["SourceFrozen"]),
    "the first of several is ready": (status(), status(ready=1), ["FirstReady"]),
    "all at once": (status(), status("AllReady", ready=3), ["AllReady"]),
    "the last one, too": (status(ready=2), status("AllReady", ready=3), ["AllReady"]),
    "it stays so": (status("AllReady", ready=3), status("AllReady", ready=3), []),
    "some failed": (status(ready=1), status("PartialFailure", ready=1), ["PartialFailure"]),
    "a person is needed": (status(), status("SourceNotFound", stalled=True), ["SourceNotFound"]),
    "a person is needed still": (
        status("SourceNotFound", stalled=True),
        status("SourceNotFound", stalled=True),
        [],
    ),
    "somebody paused it": (status(), status("Paused", stalled=True), []),
    "a lock that goes away by itself": (status(), status("SourceLocked"), []),
}


@pytest.mark.parametrize(("before", "after", "reasons"), NEWS.values(), ids=NEWS.keys())
def test_news_are_what_changed(before: VMCloneStatus, after: VMCloneStatus, reasons: list[str]) -> None:
    assert [told.reason for told in news(before, after, wanted=3)] == reasons
