"""Where a VMClone stands, read in the order of kstatus."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.plugin.objects import condition, replica, vmclone

from vmclone_kubectl import documents
from vmclone_kubectl.documents import Verdict

READY = condition("Ready", "True", "AllReady")
NOT_READY = condition("Ready", "False", "SourceNotFound")
STALLED = condition("Stalled", "True", "SourceNotFound")
VERDICTS: dict[str, tuple[dict[str, Any], Verdict]] = {
    "ready": (vmclone(READY), Verdict.READY),
    "at work": (vmclone(condition("Ready", "False", "Progressing")), Verdict.WORKING),
    "needs a person": (vmclone(NOT_READY, STALLED), Verdict.FAILED),
    "not seen yet": ({**vmclone(), "status": {}}, Verdict.WORKING),
    "a newer spec makes an old status say nothing": (vmclone(READY, generation=2), Verdict.WORKING),
    "a stalled status of an older spec is no failure": (vmclone(NOT_READY, STALLED, generation=2), Verdict.WORKING),
}


@pytest.mark.parametrize(("document", "verdict"), VERDICTS.values(), ids=VERDICTS.keys())
def test_a_vmclone_stands_where_every_waiting_tool_says(document: dict[str, Any], verdict: Verdict) -> None:
    assert documents.verdict(document) is verdict


def test_a_vmclone_that_is_being_removed_is_at_work() -> None:
    document = vmclone(READY)
    document["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert documents.verdict(document) is Verdict.WORKING


def test_replicas_of_a_former_vmclone_of_that_name_are_not_its_own() -> None:
    found = documents.replicas_of(vmclone(), [replica(2), replica(1), replica(3, owner="another")])
    assert [each["spec"]["ordinal"] for each in found] == [1, 2]


TROUBLES = {
    "a source that is not ready": (condition("SourceReady", "False", "SourceNotFound"), True),
    "drift": (condition("Drifted", "True", "Missing"), True),
    "no drift": (condition("Drifted", "False", "InSync"), False),
    "a pause is what somebody wanted": (condition("Paused", "True", "Paused"), False),
    "work that goes on": (condition("Reconciling", "True", "Progressing"), False),
    "a proven identity": (condition("IdentityReset", "True", "Verified"), False),
}


@pytest.mark.parametrize(("row", "wrong"), TROUBLES.values(), ids=TROUBLES.keys())
def test_a_condition_troubles_when_it_says_what_should_not_be(row: dict[str, str], *, wrong: bool) -> None:
    (found,) = documents.conditions(vmclone(row))
    assert found.troubles is wrong
