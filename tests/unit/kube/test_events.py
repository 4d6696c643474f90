"""Events: told once an hour, in a form the API server takes, and never the reason that a pass fails."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from tests.support.memory_cluster import MemoryCluster

from vmclone_operator.kube.cluster import ClusterError, Conflict, Document, Gone, Kind, Refused, Unavailable
from vmclone_operator.kube.events import EventRecorder

START = datetime(2026, 1, 1, tzinfo=UTC)
DEV: Document = {"metadata": {"namespace": "team-a", "name": "dev", "uid": "u1"}}
LAB: Document = {"metadata": {"name": "lab", "uid": "u2"}}


class Told:
    """A recorder, the clock it reads, and what it told."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.cluster = MemoryCluster(now=lambda: "2026-01-01T00:00:00Z")
        self.recorder = EventRecorder(
            self.cluster,
            reporter="operator-1",
            clock=lambda: self.seconds,
            now=lambda: START + timedelta(seconds=self.seconds),
        )

    def post(self, regarding: Document = DEV, *, reason: str = "Orphaned", note: str = "left") -> None:
        kind = Kind.VMCLONE if regarding is not LAB else Kind.BACKEND
        asyncio.run(self.recorder.post(kind, regarding, reason=reason, action="Delete", note=note))

    @property
    def events(self) -> list[Document]:
        return [d for key, d in self.cluster.documents.items() if key.kind is Kind.EVENT]


REPEATS = {
    "at once": (0, 1),
    "within the hour": (3599, 1),
    "after an hour": (3600, 2),
}


@pytest.mark.parametrize(("seconds", "told"), REPEATS.values(), ids=REPEATS.keys())
def test_the_same_note_is_told_once_an_hour(seconds: float, told: int) -> None:
    them = Told()
    them.post()
    them.seconds += seconds
    them.post()
    assert len(them.events) == told


def test_another_note_reason_or_object_is_told_too() -> None:
    them = Told()
    them.post()
    them.post(note="another")
    them.post(reason="Missing")
    them.post({"metadata": {**DEV["metadata"], "uid": "made-again"}})
    assert len(them.events) == 4


def test_what_is_remembered_is_bounded() -> None:
    them = Told()
    them.recorder._seen.update({("u", "r", str(n)): 0.0 for n in range(4096)})
    them.post()
    assert len(them.recorder._seen) == 1


FAILURES = [Unavailable("away"), Refused("forbidden"), Gone("the namespace is gone"), Conflict("the name is taken")]


@pytest.mark.parametrize("error", FAILURES, ids=str)
def test_a_failure_to_tell_never_fails_a_pass_and_is_tried_again(error: ClusterError) -> None:
    them, around = Told(), MemoryCluster(now=str).around

    def fails(_: str, __: Callable[[], Document]) -> Document:
        raise error

    them.cluster.around = fails
    them.post()
    assert them.events == []
    them.cluster.around = around
    them.post()
    assert len(them.events) == 1


def test_an_event_names_its_object_and_who_tells() -> None:
    them = Told()
    them.post()
    (event,) = them.events
    assert event["regarding"] == {
        "apiVersion": "vmclone.dev/v1alpha1",
        "kind": "VMClone",
        "namespace": "team-a",
        "name": "dev",
        "uid": "u1",
    }
    assert (event["type"], event["reason"], event["action"]) == ("Normal", "Orphaned", "Delete")
    assert (event["reportingController"], event["reportingInstance"]) == ("vmclone.dev/operator", "operator-1")
    assert event["eventTime"] == "2026-01-01T00:00:00.000000Z"


def test_an_event_about_a_cluster_scoped_object_is_in_the_default_namespace() -> None:
    them = Told()
    them.post(LAB)
    (event,) = them.events
    assert (event["metadata"]["namespace"], event["regarding"]["namespace"]) == ("default", "")


NOTES = {"long": "x" * 5000, "long and not ASCII": "ü" * 1024, "control characters": "a\nb\x1b[31m"}


@pytest.mark.parametrize("note", NOTES.values(), ids=NOTES.keys())
def test_a_note_is_one_line_within_what_the_api_server_takes(note: str) -> None:
    them = Told()
    them.post(note=note)
    assert them.events[0]["note"].isprintable()
    assert len(them.events[0]["note"].encode()) <= 1024


NAMES = {"short": "dev", "long": "a" * 253, "cut after a dash": "a" * 199 + "-b", "cut after a dot": "a" * 199 + ".b"}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_an_events_own_name_is_one_the_api_server_takes(name: str) -> None:
    them = Told()
    them.post({"metadata": {"namespace": "team-a", "name": name, "uid": "u"}})
    own = them.events[0]["metadata"]["name"]
    assert len(own) <= 253
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", own)
