"""`kubectl vmclone why`: the deepest cause first, and for every reason of the API what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.unit.plugin.objects import condition, platform, replica, vmclone

from vmclone_docs.pages import reason_pages
from vmclone_kubectl import fixes, lines, why
from vmclone_kubectl.why import Depth, Unreadable

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "conditions.md").read_text(encoding="utf-8")
REASONS = re.findall(r"^### (\w+)$", PAGE, re.MULTILINE)
PAGES_OF_THE_SITE = reason_pages(PAGE)

AWAY = condition("Ready", "False", "BackendUnreachable", "no answer from 10.0.0.9")


def test_a_backend_that_is_away_is_the_cause_of_everything_else() -> None:
    found = why.findings(
        vmclone(AWAY), [replica(1, AWAY)], platform("CloneSource", "g", AWAY), platform("CloneBackend", "lab", AWAY)
    )
    assert [finding.where for finding in found] == [
        "CloneBackend lab",
        "CloneSource g",
        "VMCloneReplica dev-1",
        "VMClone dev",
    ]
    assert "no answer from 10.0.0.9" in found[0].message
    assert "host and network" in found[0].remedy


def test_the_step_that_failed_goes_before_the_replica_that_says_so() -> None:
    failed = {"name": "HomeCopy", "state": "Failed", "message": "permission denied on .ssh"}
    ready = condition("Ready", "False", "CopyFailed", "permission denied")
    found = why.findings(vmclone(), [replica(2, ready, steps=[{"name": "Boot", "state": "Done"}, failed])], None, None)
    assert found[0].where == "VMCloneReplica dev-2, step HomeCopy"
    assert found[0].message == "permission denied on .ssh"
    assert found[0].remedy == fixes.explain("CopyFailed").remedy


def test_what_may_not_be_read_is_said_after_what_is_known() -> None:
    hidden = Unreadable(depth=Depth.VMCLONE, where="CloneSource g", problem="not allowed", remedy="ask")
    found = why.findings(vmclone(AWAY), [], hidden, None)
    assert {finding.where for finding in found} == {"VMClone dev", "CloneSource g"}
    assert any(finding.message == "not allowed" for finding in found)


def test_nothing_is_wrong_with_what_is_ready() -> None:
    ready = condition("Ready", "True", "AllReady")
    assert not why.findings(vmclone(ready), [replica(1, ready)], platform("CloneSource", "g", ready), None)


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_of_the_api_has_a_meaning_and_a_remedy(reason: str) -> None:
    said = fixes.explain(reason)
    assert said is not fixes.UNKNOWN
    assert len(said.meaning) > 10
    assert said.remedy
    text = "\n".join(lines.finding_lines(why.findings(vmclone(condition("Ready", "False", reason)), [], None, None)))
    assert said.remedy in text
    assert f"More: docs/reference/conditions.md#{reason.lower()}" in text


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_has_a_page_of_the_site_and_an_address_there(reason: str) -> None:
    assert f"reasons/{reason.lower()}.md" in PAGES_OF_THE_SITE
    found = why.findings(vmclone(condition("Ready", "False", reason)), [], None, None)
    text = "\n".join(lines.finding_lines(found, "https://docs.example.com/vmclone/"))
    assert f"More: https://docs.example.com/vmclone/reasons/{reason.lower()}/" in text


def test_a_remedy_and_its_page_are_printed_once_for_what_follows_from_one_cause() -> None:
    source = platform("CloneSource", "g", AWAY)
    text = list(lines.finding_lines(why.findings(vmclone(AWAY), [], source, None)))
    assert len([line for line in text if "More: " in line]) == 1


def test_explain_says_of_a_reason_what_the_page_says() -> None:
    told = list(lines.reason_lines("BackendUnreachable"))
    assert told[0] == "BackendUnreachable"
    assert fixes.explain("BackendUnreachable").meaning in told[1]
    assert told[-1].endswith("docs/reference/conditions.md#backendunreachable")


def test_a_reason_may_be_written_in_any_case_and_a_wrong_one_brings_similar_ones() -> None:
    assert fixes.named("backendUNREACHABLE") == "BackendUnreachable"
    assert not fixes.named("BackendUnreachabel")
    assert fixes.similar("BackendUnreachabel")[0] == "BackendUnreachable"
    assert not fixes.page("InventedTomorrow", "https://docs.example.com")


def test_a_reason_of_a_newer_operator_is_no_crash() -> None:
    assert fixes.explain("InventedTomorrow") is fixes.UNKNOWN
