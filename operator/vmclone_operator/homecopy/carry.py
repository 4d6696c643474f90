"""One copy from the scan to the comparison: what the relay asks of the source and of the clone, in which order.

The source lists what it judged; the clone gets that list, notes how its home is, and compares when rsync is through.
What differs the source looks at again, by handles, and sends once more. A copy is Copied when each entry of the list
has arrived as it was judged or was counted with a reason; nothing else is believed.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vmclone_operator.homecopy.answers import answers
from vmclone_operator.homecopy.arrival import CloneHome, Compared, batches
from vmclone_operator.homecopy.bundle import NO_PYTHON, source_program
from vmclone_operator.homecopy.connection import SourceConnection, agent_key, clone_at
from vmclone_operator.homecopy.filters import floor
from vmclone_operator.homecopy.job import CopyJob, Transfer
from vmclone_operator.homecopy.outcome import (
    CopyEnded,
    Ended,
    Outcome,
    disk_full,
    failure_of_rsync,
    last_line,
    outcome_of_ssh,
    printable,
    refusal,
    what_is_missing,
)
from vmclone_operator.homecopy.progress import Progress
from vmclone_operator.homecopy.source.again import TREES
from vmclone_operator.homecopy.staged import pull_and_push

RSYNC_TIMEOUT_SECONDS = 120
_PORT_SECONDS = 10.0
_ROUNDS = 4
"""How often a file is looked at that is another one each time; then it is counted."""
_BATCH = 500
"""Files of at most 1 MiB that the source holds ready at once."""

Cut = Callable[[Callable[[], None]], None]


class Copy:
    """One conversation with the source and one with the clone."""

    def __init__(self, job: CopyJob, folder: Path, cut: Cut, staging: Path, progress: Progress) -> None:
        self._job, self._folder, self._cut, self._staging, self._progress = job, folder, cut, staging, progress
        self._secret = secrets.token_hex(16)
        self._connection = SourceConnection(folder, source_program())
        self._answers = answers(self._connection.answers, self._secret)
        self._clone: CloneHome | None = None
        self._counts: dict[str, Any] = {}
        self._source_folder = ""
        self._sent_bytes = 0

    def run(self) -> Outcome:
        """Carry the home over and return how that ended."""
        self._cut(self._connection.end)
        try:
            outcome = self._run()
        except CopyEnded as ended:
            outcome = ended.outcome
        finally:
            if self._clone is not None:
                self._clone.close()
            self._connection.close()
        return replace(outcome, counts=self._counts, sent_bytes=self._sent_bytes)

    def _run(self) -> Outcome:
        self._scan()
        refused = refusal(self._job, self._counts)
        if refused:
            return refused
        clone = self._clone = CloneHome(self._job, self._folder, self._secret)
        self._cut(clone.end)
        self._tell({"action": "list"})
        self._await("listed")
        clone.begin()
        self._progress.copying({}, self._counts)
        stderr = self._send("home")
        good = self._settle(clone, clone.check())
        listed = sum(self._counts[kind] for kind in ("files", "directories", "symlinks"))
        if good != listed:
            message = f"{listed - good} of {listed} entries are neither there nor counted: {last_line(stderr)}"
            return self._full(clone) or Outcome(ended=Ended.INTERRUPTED, message=message)
        refused = refusal(self._job, self._counts)
        if refused and refused.ended is Ended.SECRET_FOUND:
            return refused
        clone.finish()
        return Outcome(ended=Ended.COPIED, message=what_is_missing(self._counts))

    def _scan(self) -> None:
        self._tell(self._scan_parameters())
        self._progress.tell({"phase": "Scanning"})
        answer = self._await("scanned")
        self._source_folder = str(answer["folder"])
        self._counts = {key: value for key, value in answer.items() if key not in {"event", "folder"}}
        # Counts only: whoever may read the pod's log must not learn which files hold secrets.
        told = {key: self._counts[key] for key in ("files", "bytes", "excluded")}
        self._progress.tell({"phase": "Scanned", **told})

    def _settle(self, clone: CloneHome, compared: Compared) -> int:
        """Have what differs looked at, sent and compared again; return how many entries are as they must be."""
        good = compared.good
        for batch in batches(compared.suspects, _BATCH):
            suspects: Sequence[str] = batch
            for turn in range(_ROUNDS):
                good += self._again(clone, suspects, last=turn == _ROUNDS - 1)
                once_more = clone.check_again()
                good, suspects = good + once_more.good, once_more.suspects
                if not suspects:
                    break
            clone.remove(suspects)
        return good

    def _again(self, clone: CloneHome, suspects: Sequence[str], *, last: bool) -> int:
        """Return how many of these need nothing more: they are good as they are."""
        try:
            for part in batches(suspects, _BATCH):
                self._tell({"action": "paths", "paths": part})
            self._tell({"action": "again", "last": last})
            answer = self._await("again")
        except CopyEnded:
            clone.remove(suspects)
            raise
        accepted = set(answer["accepted"])
        clone.remove([path for path in suspects if path not in accepted])
        self._count_again(answer)
        for tree, number in (("again", answer["staged"]), ("large", answer["large"])):
            if number:
                self._send(tree)
        return len(accepted)

    def _count_again(self, answer: Mapping[str, Any]) -> None:
        """Move what the source left out now from what is sent to what is counted."""
        for kind, number in answer["fewer"].items():
            self._counts[kind] = max(0, self._counts[kind] - int(number))
        for group in ("excluded", "skipped"):
            before = self._counts.get(group, {})
            more = answer[group]
            self._counts[group] = {key: before.get(key, 0) + more.get(key, 0) for key in {**before, **more}}
        self._counts["first"] = {**answer["first"], **self._counts.get("first", {})}
        self._counts["found"] = [*self._counts.get("found", ()), *answer["found"]]
        self._counts["unreadable"] = self._counts["skipped"].get("Unreadable", 0)

    def _send(self, tree: str) -> str:
        """Run rsync over one list; return what it complained about, or raise CopyEnded when it was cut."""
        ended = self._stream(tree) if self._job.transfer is Transfer.STREAM else self._staged(tree)
        self._sent_bytes += int(ended["sentBytes"])
        stderr = str(ended["stderr"])
        failure = failure_of_rsync(int(ended["code"]), stderr)
        if failure is not None:
            full = self._full(self._clone) if failure.ended is not Ended.HOST_KEY_MISMATCH else None
            raise CopyEnded(full or failure)
        return stderr

    def _full(self, clone: CloneHome | None) -> Outcome | None:
        """Return that the clone's disk is full, if it is and still says so."""
        try:
            return None if clone is None else disk_full(clone.space(), self._counts)
        except CopyEnded:
            return None

    def _stream(self, tree: str) -> Mapping[str, Any]:
        port = self._connection.wait_for_port(_PORT_SECONDS)
        if not port:
            raise CopyEnded(Outcome(ended=Ended.COPY_FAILED, message="the source gave no port to forward"))
        clone = {"clone": clone_at(self._job, "127.0.0.1", port), "key": agent_key(self._folder)}
        self._tell({"action": "send", "tree": tree, **clone, **self._rsync_options()})
        return self._await("sent")

    def _staged(self, tree: str) -> Mapping[str, Any]:
        options = {**self._rsync_options(), "tree": tree}
        return pull_and_push(
            self._job,
            self._folder,
            self._source_folder,
            self._staging,
            trees=TREES[tree],
            options=options,
            tell=lambda answer: self._progress.copying(answer, self._counts),
            cut=self._cut,
        )

    def _await(self, event: str) -> Mapping[str, Any]:
        """Return the source's answer of this kind; raise CopyEnded when it refuses or goes away."""
        for answer in self._answers:
            match answer["event"]:
                case "refused":
                    message = printable(str(answer["message"]))
                    raise CopyEnded(Outcome(ended=Ended.COPY_FAILED, message=message))
                case "scanning":
                    found = {key: int(answer[key]) for key in ("files", "bytes")}
                    self._progress.tell({"phase": "Scanning", **found})
                case "progress":
                    self._progress.copying(answer, self._counts)
                case "judged" if self._clone is not None:
                    self._clone.judged(str(answer["data"]))
            if answer["event"] == event:
                return answer
        code, complaints = self._connection.close()
        if code == NO_PYTHON:
            message = "the source needs python3 (3.6 or newer) for the scan"
            raise CopyEnded(Outcome(ended=Ended.COPY_FAILED, message=message))
        raise CopyEnded(outcome_of_ssh(code, complaints))

    def _tell(self, document: Mapping[str, Any]) -> None:
        self._connection.tell(json.dumps(document).encode())

    def _scan_parameters(self) -> dict[str, Any]:
        job = self._job
        lists = {"paths": list(job.paths), "excludes": list(job.excludes), "allow": list(job.allow)}
        return {"secret": self._secret, "home": job.home, "rules": floor().rules, **lists}

    def _rsync_options(self) -> dict[str, Any]:
        job = self._job
        limits = {"bandwidthKiB": job.bandwidth_kib, "timeoutSeconds": RSYNC_TIMEOUT_SECONDS}
        found = {"sparse": bool(self._counts["sparse"]), "compress": bool(self._counts["compress"])}
        return {"refresh": job.refresh, **found, **limits}
