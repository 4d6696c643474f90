"""Job controller and kubelet of a simulation: Jobs get pods, pods end after a while, as told beforehand."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.support.memory_cluster import MemoryCluster

from vmclone_operator.homecopy.outcome import EXIT_CODES, Ended
from vmclone_operator.kube.cluster import Document, Key, Kind


@dataclass
class CopyRun:
    """One Job's run: when it began, how it will end."""

    key: Key
    source: str
    incarnation: str
    began: float
    ended: float | None = None
    how: Ended | None = None
    """How it ended, if it came to its end."""
    removed_at: float | None = None
    """When its pod has ended after somebody deleted the Job."""


@dataclass
class SimKubelet:
    """Runs the Jobs of a MemoryCluster on the simulation's clock."""

    cluster: MemoryCluster
    clock: Callable[[], float]
    copy_seconds: float = 20.0
    grace_seconds: float = 3.0
    """How long a pod takes to end when its Job is deleted; the Job goes after it."""
    outcomes: list[Ended] = field(default_factory=list)
    """How the next Jobs end, one after the other; Copied when the list is empty."""
    runs: list[CopyRun] = field(default_factory=list)
    most_at_once: dict[str, int] = field(default_factory=dict)
    """The highest number of pods that read from one source at a time."""

    def watch(self, kind: Kind, event: str, document: Document) -> None:
        """Take notice of a Job that is made or removed."""
        if kind is not Kind.JOB:
            return
        key = Key(kind, document["metadata"]["namespace"], document["metadata"]["name"])
        if event == "ADDED":
            self._begin(key, document)
        elif event == "MODIFIED" and document["metadata"].get("deletionTimestamp"):
            self._remove_later(key)

    def next_end(self) -> float | None:
        """Return when the next Job ends, if one runs."""
        return min((run.began + self.copy_seconds for run in self.running()), default=None)

    def advance(self) -> None:
        """End the Jobs whose time has come."""
        for run in self.running():
            if run.removed_at is None and run.began + self.copy_seconds <= self.clock():
                self.end(run, self.outcomes.pop(0) if self.outcomes else Ended.COPIED)
        for run in self.runs:
            if run.removed_at is not None and run.removed_at <= self.clock():
                self._remove(run)

    def running(self) -> list[CopyRun]:
        """Return the runs whose pods have not ended."""
        return [run for run in self.runs if run.ended is None]

    def vanish(self, run: CopyRun) -> None:
        """Take a pod away, as a node does that dies: nobody knows how it ended."""
        run.ended = self.clock()
        self.cluster.remove(_pod_key(run.key))
        failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}
        self.cluster.overwrite(run.key, lambda document: document.update(status={"conditions": [failed]}))

    def end(self, run: CopyRun, how: Ended) -> None:
        """Let a Job end, with a receipt as the pod writes it."""
        run.ended, run.how = self.clock(), how
        receipt: dict[str, Any] = {"reason": how.value, "message": f"told: {how.value}", "files": 7, "bytes": 700}
        receipt |= {"excluded": {"ssh-keys": 3}, "filter": {"version": "1", "digest": "sha256:0"}, "sentBytes": 700}
        state = {"terminated": {"exitCode": EXIT_CODES[how], "message": json.dumps(receipt)}}

        def pod_ended(document: Document) -> None:
            document["status"] = {"containerStatuses": [{"state": state}]}

        def job_ended(document: Document) -> None:
            kind = "Complete" if how is Ended.COPIED else "Failed"
            condition = {"type": kind, "status": "True", "lastTransitionTime": _moment(self.clock())}
            document["status"] = {"startTime": _moment(run.began), "conditions": [condition]}

        self.cluster.overwrite(_pod_key(run.key), pod_ended)
        self.cluster.overwrite(run.key, job_ended)

    def _begin(self, key: Key, job: Document) -> None:
        labels = job["metadata"]["labels"]
        source = labels.get("vmclone.dev/source", "")
        self.runs.append(CopyRun(key, source, labels["vmclone.dev/incarnation"], self.clock()))
        self.most_at_once[source] = max(
            self.most_at_once.get(source, 0), sum(run.source == source for run in self.running())
        )
        pod = {
            "metadata": {
                "name": _pod_key(key).name,
                "namespace": key.namespace,
                "labels": {"batch.kubernetes.io/job-name": key.name},
            },
            "spec": copy.deepcopy(job["spec"]["template"]["spec"]),
            "status": {"containerStatuses": [{"state": {"running": {}}}]},
        }
        self.cluster.overwrite(key, lambda document: document["metadata"].update(finalizers=["foregroundDeletion"]))
        self.cluster.apply(Kind.POD, pod)
        self.cluster.logs[key.namespace, _pod_key(key).name] = '{"phase": "Copying", "percent": 40}\n'

    def _remove_later(self, key: Key) -> None:
        for run in self.runs:
            if run.key == key and run.removed_at is None:
                run.removed_at = self.clock() + (self.grace_seconds if run.ended is None else 0.5)

    def _remove(self, run: CopyRun) -> None:
        """Let pod and Job go; whatever the pod still did is done by now."""
        run.ended, run.removed_at = (self.clock() if run.ended is None else run.ended), None
        self.cluster.remove(_pod_key(run.key))
        if run.key in self.cluster.documents:
            self.cluster.overwrite(run.key, lambda document: document["metadata"].update(finalizers=[]))


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _pod_key(job: Key) -> Key:
    return Key(Kind.POD, job.namespace, f"{job.name}-pod")
