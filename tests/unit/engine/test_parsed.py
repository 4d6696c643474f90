"""A part of a document is parsed once for as long as it is the same, and anew when it is another."""

from __future__ import annotations

import pytest

from vmclone_operator.api.vmclone import VMCloneStatus
from vmclone_operator.engine.objects.parsed import ParsedOnce
from vmclone_operator.kube.cluster import Document


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[Document]:
    """Return what was parsed, in order."""
    seen: list[Document] = []
    validate = VMCloneStatus.model_validate

    def noted(part: Document) -> VMCloneStatus:
        seen.append(part)
        return validate(part)

    monkeypatch.setattr(VMCloneStatus, "model_validate", noted)
    return seen


def test_the_same_part_is_parsed_once(parsed: list[Document]) -> None:
    once, status = ParsedOnce(VMCloneStatus), {"readyReplicas": 1}
    assert [once.of(status).ready_replicas for _ in range(3)] == [1, 1, 1]
    assert parsed == [status]


def test_another_version_is_parsed_anew_even_if_it_says_the_same(parsed: list[Document]) -> None:
    once = ParsedOnce(VMCloneStatus)
    assert once.of({"readyReplicas": 1}) == once.of({"readyReplicas": 1})
    assert len(parsed) == 2
    assert once.of({"readyReplicas": 2}).ready_replicas == 2


def test_what_has_no_status_has_the_status_that_says_nothing() -> None:
    assert ParsedOnce(VMCloneStatus).of(None) == VMCloneStatus()


def test_no_more_are_held_than_it_was_told(parsed: list[Document]) -> None:
    once = ParsedOnce(VMCloneStatus, most=2)
    parts: list[Document] = [{"readyReplicas": n} for n in range(3)]
    assert [once.of(part).ready_replicas for part in (*parts, *parts)] == [0, 1, 2, 0, 1, 2]
    assert len(parsed) == 6
    once.of(parts[2])
    assert len(parsed) == 6
