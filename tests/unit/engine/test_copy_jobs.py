"""What a copy's Job and pod say is read with care: a pod can be evicted, hang, lie or talk nonsense."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.memory_cluster import MemoryCluster

from vmclone_operator.api.home import HomeCopyStatus
from vmclone_operator.domain.home_copy import CopyJobView, JobState
from vmclone_operator.engine.jobs.copy_jobs import CopyJobs
from vmclone_operator.homecopy.job import CopyJob, Host
from vmclone_operator.homecopy.job_manifest import CopyOwner, PodSettings, copy_name
from vmclone_operator.kube.cluster import Document, Key, Kind

SYSTEM = "vmclone-system"
OWNER = CopyOwner(vmclone="dev", vmclone_uid="u", ordinal=1, incarnation="1-2", attempt=1, source="s")
NAME = copy_name(OWNER)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBrwWh4ph63ffHIm34829InQtTHpY9Peqbi7JNeSfqGi"
HOST = Host(address="10.0.0.7", port=22, user="dev", host_keys=(KEY,))
NOW = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
"""A minute after the Job was made."""
JOB = CopyJob(source=HOST, clone=HOST)


class Copies:
    """A cluster with one copy's Job in it."""

    def __init__(self) -> None:
        self.cluster = MemoryCluster(now=lambda: "2026-01-01T00:00:00Z")
        settings = PodSettings(namespace=SYSTEM, image="home-copy")
        self.jobs = CopyJobs(cluster=self.cluster, settings=settings, now=lambda: NOW)

    def job(self, *conditions: Document, **metadata: Any) -> Copies:
        asyncio.run(self.jobs.start(OWNER, JOB))

        def change(document: Document) -> None:
            document["status"] = {"conditions": list(conditions)}
            document["metadata"].update(metadata)

        self.cluster.overwrite(Key(Kind.JOB, SYSTEM, NAME), change)
        return self

    def pod(self, log: str = "", **status: Any) -> Copies:
        meta = {"name": "pod", "namespace": SYSTEM, "labels": {"batch.kubernetes.io/job-name": NAME}}
        self.cluster.apply(Kind.POD, {"metadata": meta, "spec": {}, "status": status})
        self.cluster.logs[SYSTEM, "pod"] = log
        return self

    def event(self, note: str, reason: str = "FailedCreate", *, about: Kind = Kind.JOB) -> Copies:
        regarding = self.cluster.documents[Key(about, SYSTEM, NAME if about is Kind.JOB else "pod")]["metadata"]["uid"]
        document = {"type": "Warning", "reason": reason, "note": note, "regarding": {"uid": regarding}}
        meta = {"name": f"event-{reason}", "namespace": SYSTEM}
        self.cluster.apply(Kind.EVENT, {"metadata": meta, **document})
        return self

    def view(self, *, with_log: bool = True) -> CopyJobView:
        return asyncio.run(self.jobs.view(OWNER, with_log=with_log))


FAILED = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}
COMPLETE = {"type": "Complete", "status": "True"}


def in_state(**state: Any) -> dict[str, Any]:
    return {"containerStatuses": [{"state": state}]}


def ended(code: int, message: object = "", reason: str = "Error") -> dict[str, Any]:
    text = message if isinstance(message, str) else json.dumps(message)
    return in_state(terminated={"exitCode": code, "message": text, "reason": reason})


VIEWS = {
    "no Job": (Copies, JobState.ABSENT, "", ""),
    "a Job without a pod": (lambda: Copies().job(), JobState.WAITING, "", "is being made"),
    "a Job that is being removed counts as nothing new": (
        lambda: Copies().job(COMPLETE, deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["x"]),
        JobState.WAITING,
        "",
        "is being removed",
    ),
    "a pod that no node has taken": (lambda: Copies().job().pod(phase="Pending"), JobState.WAITING, "", "started"),
    "a container that is being made": (
        lambda: Copies().job().pod(**in_state(waiting={"reason": "ContainerCreating"})),
        JobState.WAITING,
        "",
        "is being started",
    ),
    "an image that cannot be had is named": (
        lambda: Copies().job().pod(**in_state(waiting={"reason": "ImagePullBackOff", "message": "no\nsuch image"})),
        JobState.WAITING,
        "",
        r"waits: ImagePullBackOff: no\nsuch image; the image of home copies cannot be fetched",
    ),
    "a pod that a quota refuses is told by its Job's Events": (
        lambda: Copies().job().event('Error creating: pods "x" is forbidden: failed quota: q: must specify limits.cpu'),
        JobState.WAITING,
        "",
        "must specify limits.cpu; ",
    ),
    "a pod that runs and has said nothing": (
        lambda: Copies().job().pod(**in_state(running={})),
        JobState.RUNNING,
        "",
        "",
    ),
    "a pod that ended before its Job noticed": (
        lambda: Copies().job().pod(**ended(0)),
        JobState.RUNNING,
        "",
        "",
    ),
    "a copy that is done": (
        lambda: Copies().job(COMPLETE).pod(**ended(0, {"reason": "Copied", "files": 7})),
        JobState.ENDED,
        "Copied",
        "",
    ),
    "a home that is too large": (
        lambda: Copies().job(FAILED).pod(**ended(12, {"message": "the home has 9 bytes"})),
        JobState.ENDED,
        "TooLarge",
        "the home has 9 bytes",
    ),
    "a copy that was cut": (lambda: Copies().job(FAILED).pod(**ended(14)), JobState.ENDED, "CopyFailed", "tried again"),
    "a pod that ran out of memory": (
        lambda: Copies().job(FAILED).pod(**ended(137, reason="OOMKilled")),
        JobState.ENDED,
        "CopyFailed",
        "exit code 137, OOMKilled",
    ),
    "a pod that was evicted": (
        lambda: Copies().job(FAILED).pod(phase="Failed", reason="Evicted", message="The node was low on memory"),
        JobState.ENDED,
        "CopyFailed",
        "Evicted: The node was low on memory",
    ),
    "a copy that is done and whose pod is gone": (
        lambda: Copies().job(COMPLETE),
        JobState.ENDED,
        "Copied",
        "the receipt is lost",
    ),
    "a pod that is gone": (lambda: Copies().job(FAILED), JobState.ENDED, "CopyFailed", "its pod is gone"),
    "a copy that took too long": (
        lambda: Copies().job({**FAILED, "reason": "DeadlineExceeded"}),
        JobState.ENDED,
        "CopyFailed",
        "DeadlineExceeded",
    ),
    "an end in words that are no receipt": (
        lambda: Copies().job(FAILED).pod(**ended(13, "Traceback: \x1b[31m")),
        JobState.ENDED,
        "CopyFailed",
        "exit code 13",
    ),
    "an end whose words have control characters": (
        lambda: Copies().job(FAILED).pod(**ended(10, {"message": "key\x1b[31m"})),
        JobState.ENDED,
        "HostKeyMismatch",
        r"key\x1b[31m",
    ),
}


@pytest.mark.parametrize(("made", "state", "reason", "told"), VIEWS.values(), ids=VIEWS.keys())
def test_each_state_of_a_job_is_told_in_words(made: Any, state: JobState, reason: str, told: str) -> None:
    view = made().view()
    assert (view.state, view.reason) == (state, reason)
    assert told in view.message
    assert len(view.message) <= 1024


def _unschedulable() -> Copies:
    told = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}
    return Copies().job().pod(conditions=[told])


TROUBLES = {
    "a policy that refuses the pod": (
        lambda: Copies().job().event("pods is forbidden: ValidatingAdmissionPolicy 'p' denied request: no"),
        ("CopyPodRefused", True, "denied request: no"),
    ),
    "no node has room": (_unschedulable, ("CopyPodUnschedulable", False, "0/3 nodes are available")),
    "an image that nobody has": (
        lambda: Copies().job().pod(**in_state(waiting={"reason": "ErrImagePull", "message": "not found"})),
        ("CopyImageNotPulled", False, "ErrImagePull: not found"),
    ),
    "a container that the kubelet cannot make": (
        lambda: Copies().job().pod(**in_state(waiting={"reason": "CreateContainerConfigError", "message": "uid 0"})),
        ("CopyPodNotStarted", False, "CreateContainerConfigError: uid 0"),
    ),
    "a volume that cannot be mounted is told by the pod's Events": (
        lambda: (
            Copies()
            .job()
            .pod(**in_state(waiting={"reason": "ContainerCreating"}))
            .event("no such secret", "FailedMount", about=Kind.POD)
        ),
        ("CopyPodNotStarted", False, "no such secret"),
    ),
    "a Job that a queue has suspended": (
        lambda: Copies().job({"type": "Suspended", "status": "True"}),
        ("CopyPodNotStarted", False, "is suspended"),
    ),
    "nothing that anybody says": (lambda: Copies().job().pod(phase="Pending"), ("", False, "is being started")),
}


@pytest.mark.parametrize(("made", "told"), TROUBLES.values(), ids=TROUBLES.keys())
def test_what_keeps_a_pod_from_starting_is_told_with_its_reason(made: Any, told: tuple[str, bool, str]) -> None:
    view = made().view()
    assert (view.trouble, view.needs_a_person) == told[:2]
    assert told[2] in view.message


def test_a_pod_that_has_only_just_been_made_may_warn_of_what_passes() -> None:
    made = Copies().job().pod(**in_state(waiting={"reason": "ContainerCreating"}))
    made.event("failed to sync secret cache", "FailedMount", about=Kind.POD)
    early = replace(made.jobs, now=lambda: datetime(2026, 1, 1, 0, 0, 5, tzinfo=UTC))
    assert asyncio.run(early.view(OWNER, with_log=False)).trouble == ""


LOGS = {
    "the last line counts": ('{"percent": 1}\n{"percent": 61, "etaSeconds": 40}\n', 61, 40),
    "a line that is cut off does not": ('{"percent": 61}\n{"perc', 61, 0),
    "words between the lines do not": ('{"percent": 61}\nWarning: Permanently added\n', 61, 0),
    "nothing said yet": ("", 0, 0),
    "more than everything": ('{"percent": 250, "etaSeconds": Infinity}', 100, 2**31),
    "less than nothing": ('{"percent": -3, "etaSeconds": -1}', 0, 0),
    "no numbers": ('{"percent": "61", "etaSeconds": null}', 0, 0),
    "numbers that are none": ('{"percent": NaN, "etaSeconds": NaN}', 0, 0),
    "a list": ("[1]", 0, 0),
}


@pytest.mark.parametrize(("log", "percent", "eta"), LOGS.values(), ids=LOGS.keys())
def test_progress_is_what_the_log_says_last(log: str, percent: int, eta: int) -> None:
    view = Copies().job().pod(log, **in_state(running={})).view()
    assert (view.percent, view.eta_seconds) == (percent, eta)


BYTES = {
    "as they are told": ('{"doneBytes": 610, "totalBytes": 1000}', (610, 1000)),
    "files that grew are no more than all": ('{"doneBytes": 1001, "totalBytes": 1000}', (1000, 1000)),
    "without the whole a part says nothing": ('{"doneBytes": 610}', (0, 0)),
    "nonsense": ('{"doneBytes": "610", "totalBytes": -1}', (0, 0)),
}


@pytest.mark.parametrize(("log", "told"), BYTES.values(), ids=BYTES.keys())
def test_bytes_of_a_copy_are_never_more_than_all_of_them(log: str, told: tuple[int, int]) -> None:
    view = Copies().job().pod(log, **in_state(running={})).view()
    assert (view.done_bytes, view.total_bytes) == told


def test_the_log_is_not_read_unasked() -> None:
    view = Copies().job().pod('{"percent": 61}', **in_state(running={})).view(with_log=False)
    assert (view.state, view.percent) == (JobState.RUNNING, 0)


NONSENSE: dict[str, object] = {
    "numbers as texts": {"files": "7", "bytes": [], "sentBytes": None},
    "numbers that are none": '{"files": NaN, "bytes": Infinity, "sentBytes": -Infinity}',
    "numbers out of bounds": {"files": -1, "bytes": 10**40, "unreadable": 2**70},
    "counts out of bounds": {"excluded": {"a": -1, "b": 2**70, "c": "x", "d": None, "e": 1.5}},
    "no map of counts": {"excluded": [1, 2]},
    "too many counts": {"excluded": {f"rule-{n}": n for n in range(200)}},
    "names that are none": {"allowed": [1, None, {"a": 1}], "otherFileSystems": "all"},
    "names with control characters": {"allowed": ["a\nb\x1b"], "otherFileSystems": ["x" * 3000]},
    "a filter that is none": {"filter": "1"},
    "a filter in other types": {"filter": {"version": 1, "digest": ["x"] * 500}},
    "a list": [1, 2],
    "a number": 7,
    "four kibibytes of brackets": "[" * 4096,
}


@pytest.mark.parametrize("receipt", NONSENSE.values(), ids=NONSENSE.keys())
def test_a_receipt_of_nonsense_never_stops_the_operator(receipt: object) -> None:
    """What it leaves can be written into status: the API server would refuse anything out of bounds."""
    view = Copies().job(COMPLETE).pod(**ended(0, receipt)).view()
    assert view.reason == "Copied"
    assert view.receipt is not None
    assert HomeCopyStatus.model_validate(view.receipt.model_dump()) == view.receipt


def test_a_receipt_is_kept() -> None:
    told = {
        "files": 7,
        "bytes": 700,
        "sentBytes": 70,
        "excluded": {"ssh-keys": 3},
        "unreadable": 1,
        "allowed": [".aws/config"],
        "otherFileSystems": ["mnt"],
        "filter": {"version": "1", "digest": "sha256:0"},
    }
    receipt = Copies().job(COMPLETE).pod(**ended(0, told)).view().receipt
    assert receipt is not None
    kept = receipt.model_dump(by_alias=True, mode="json")
    assert {name: kept[name] for name in told} == told


TIMES: dict[str, tuple[dict[str, Any], float]] = {
    "from its start to its end": ({"startTime": "2026-01-01T00:00:00Z"}, 90),
    "an end before the start": ({"startTime": "2026-01-01T01:00:00Z"}, 0),
    "no start": ({}, 0),
    "a start that is no time": ({"startTime": "soon"}, 0),
}


@pytest.mark.parametrize(("told", "seconds"), TIMES.values(), ids=TIMES.keys())
def test_how_long_a_job_took_is_what_the_api_server_says(told: dict[str, Any], seconds: float) -> None:
    copies = Copies().job({**COMPLETE, "lastTransitionTime": "2026-01-01T00:01:30Z"})
    copies.cluster.overwrite(Key(Kind.JOB, SYSTEM, NAME), lambda document: document["status"].update(told))
    assert copies.view().seconds == seconds


def test_a_receipt_that_is_lost_is_empty() -> None:
    assert Copies().job(COMPLETE).view().receipt == HomeCopyStatus()


def test_only_what_was_made_for_the_clone_is_removed() -> None:
    copies = Copies().job()
    assert asyncio.run(copies.jobs.remove("vmclone-home-other-1", "1-2"))
    assert asyncio.run(copies.jobs.remove(NAME, "somebody else"))
    assert copies.view().state is JobState.WAITING
    assert asyncio.run(copies.jobs.remove(NAME, "1-2"))
    assert copies.view().state is JobState.ABSENT


def test_a_jobs_secret_stays_until_its_pods_are_gone() -> None:
    copies = Copies().job(finalizers=["foregroundDeletion"])
    asyncio.run(copies.jobs.ensure_key(OWNER, JOB, source_key="SOURCE"))
    assert not asyncio.run(copies.jobs.remove(NAME, "1-2"))
    secret = Key(Kind.SECRET, SYSTEM, NAME)
    assert secret in copies.cluster.documents
    copies.cluster.overwrite(Key(Kind.JOB, SYSTEM, NAME), lambda d: d["metadata"].update(finalizers=[]))
    assert asyncio.run(copies.jobs.remove(NAME, "1-2"))
    assert secret not in copies.cluster.documents


def test_a_repeat_finds_the_key_that_was_made() -> None:
    copies = Copies()
    first = asyncio.run(copies.jobs.ensure_key(OWNER, JOB, source_key="SOURCE"))
    assert asyncio.run(copies.jobs.ensure_key(OWNER, JOB, source_key="SOURCE")).public == first.public
    held = copies.cluster.documents[Key(Kind.SECRET, SYSTEM, NAME)]["data"]
    assert base64.b64decode(held["source_key"]) == b"SOURCE"
    assert first.private not in repr(first)


def test_a_job_that_ended_reads_from_no_source_any_more() -> None:
    assert asyncio.run(Copies().job().jobs.active("s")) == {"1-2"}
    assert asyncio.run(Copies().job(COMPLETE).jobs.active("s")) == set()
    assert asyncio.run(Copies().job().jobs.active("another")) == set()
