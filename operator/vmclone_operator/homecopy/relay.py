"""The pod's entry point: `python -m vmclone_operator.homecopy.relay JOB SOURCE_KEY CLONE_KEY TERMINATION_LOG`.

A client of both ends and a server of nothing. Its arguments are file names; standard output is JSON lines of
progress, the termination log gets the receipt, the exit code says which way the copy ended.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from vmclone_operator.homecopy.bundle import NO_PYTHON, source_program
from vmclone_operator.homecopy.connection import (
    Keys,
    SourceConnection,
    agent_key,
    clone_at,
    start_agent,
    write_source_config,
)
from vmclone_operator.homecopy.filters import floor
from vmclone_operator.homecopy.job import CopyJob, Transfer, parse_job
from vmclone_operator.homecopy.outcome import (
    Ended,
    Outcome,
    outcome_of_rsync,
    outcome_of_ssh,
    printable,
    receipt,
    refusal,
)
from vmclone_operator.homecopy.progress import Progress
from vmclone_operator.homecopy.source.program import MARK
from vmclone_operator.homecopy.source.send import installed_rsync
from vmclone_operator.homecopy.staged import pull_and_push

LEAST_RSYNC = (3, 4, 3)
RSYNC_TIMEOUT_SECONDS = 120
_PORT_SECONDS = 10.0
_LONGEST_ANSWER = 1 << 20
# What a description, an answer or this machine can be wrong by: the pod must say so, or the operator cannot.
_FAILURES = (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, subprocess.SubprocessError)


class Interruption:
    """What ends a copy early: the time limit or a signal; remembers which it was."""

    def __init__(self) -> None:
        self.message = ""
        self._actions: list[Callable[[], None]] = []

    def on(self, action: Callable[[], None]) -> None:
        """Call this when the copy is interrupted; at once when it already was."""
        self._actions.append(action)
        if self.message:
            action()

    def interrupt(self, message: str) -> None:
        """Interrupt the copy, from a timer or a signal handler."""
        self.message = self.message or message
        for action in self._actions:
            action()


def relay(job: CopyJob, keys: Keys, *, interruption: Interruption, staging: Path, progress: Progress) -> Outcome:
    """Carry the home over once and return how it ended."""
    version = installed_rsync()
    if version is None or version < LEAST_RSYNC:
        return Outcome(ended=Ended.COPY_FAILED, message="this image needs rsync 3.4.3 or newer")
    # A short path: control sockets may have 108 letters.
    with tempfile.TemporaryDirectory(prefix="vmclone-relay-") as name:
        folder = Path(name)
        write_source_config(folder, job, keys.source)
        agent = start_agent(folder, keys.clone, lifetime_seconds=job.timeout_seconds)
        try:
            outcome = _Copy(job, folder, interruption, staging, progress).run()
        finally:
            agent.terminate()
            agent.wait()
    if interruption.message and outcome.ended is not Ended.COPIED:
        return Outcome(ended=Ended.INTERRUPTED, message=interruption.message, counts=outcome.counts)
    return outcome


class _Copy:
    """One conversation with the source, from the scan to the outcome."""

    def __init__(
        self, job: CopyJob, folder: Path, interruption: Interruption, staging: Path, progress: Progress
    ) -> None:
        self._job, self._folder, self._staging, self._progress = job, folder, staging, progress
        self._interruption = interruption
        self._connection = SourceConnection(folder, source_program())
        self._secret = secrets.token_hex(16)
        self._counts: dict[str, Any] = {}

    def run(self) -> Outcome:
        self._interruption.on(self._connection.end)
        self._connection.tell(json.dumps(self._scan_parameters()).encode())
        self._progress.tell({"phase": "Scanning"})
        outcome = None
        for answer in _answers(self._connection.answers, self._secret):
            outcome = self._react(answer)
            if outcome:
                break
        code, complaints = self._connection.close()
        if outcome:
            return outcome
        if code == NO_PYTHON:
            return Outcome(ended=Ended.COPY_FAILED, message="the source needs python3 (3.6 or newer) for the scan")
        return replace(outcome_of_ssh(code, complaints), counts=self._counts)

    def _react(self, answer: Mapping[str, Any]) -> Outcome | None:
        """Take one answer of the source; return the outcome when it is the last."""
        match answer["event"]:
            case "refused":
                return Outcome(ended=Ended.COPY_FAILED, message=printable(str(answer["message"])))
            case "scanned":
                return self._scanned(answer)
            case "scanning":
                self._progress.tell({"phase": "Scanning", "files": int(answer["files"]), "bytes": int(answer["bytes"])})
            case "progress":
                self._progress.copying(answer, self._counts)
            case "sent":
                return self._sent(answer)
        return None

    def _scanned(self, answer: Mapping[str, Any]) -> Outcome | None:
        self._counts = {key: value for key, value in answer.items() if key not in {"event", "folder"}}
        # Counts only: whoever may read the pod's log must not learn which files hold secrets.
        told = {key: self._counts[key] for key in ("files", "bytes", "excluded")}
        self._progress.tell({"phase": "Scanned", **told})
        refused = refusal(self._job, self._counts)
        if refused:
            return refused
        if self._job.transfer is Transfer.STAGED:
            return self._staged(str(answer["folder"]))
        port = self._connection.wait_for_port(_PORT_SECONDS)
        if not port:
            return Outcome(ended=Ended.COPY_FAILED, message="the source gave no port to forward", counts=self._counts)
        clone = {"clone": clone_at(self._job, "127.0.0.1", port), "key": agent_key(self._folder)}
        order = {"action": "send", **clone, **self._rsync_options()}
        self._progress.copying({}, self._counts)
        self._connection.tell(json.dumps(order).encode())
        return None

    def _staged(self, source_folder: str) -> Outcome:
        options = self._rsync_options()
        cut = self._interruption.on
        told = self._tell_copied
        ended = pull_and_push(
            self._job, self._folder, source_folder, self._staging, options=options, tell=told, cut=cut
        )
        return self._sent(ended)

    def _tell_copied(self, answer: Mapping[str, Any]) -> None:
        self._progress.copying(answer, self._counts)

    def _sent(self, ended: Mapping[str, Any]) -> Outcome:
        code, stderr, sent = int(ended["code"]), str(ended["stderr"]), int(ended["sentBytes"])
        return outcome_of_rsync(code, stderr, counts=self._counts, sent_bytes=sent)

    def _scan_parameters(self) -> dict[str, Any]:
        job = self._job
        lists = {"paths": list(job.paths), "excludes": list(job.excludes), "allow": list(job.allow)}
        return {"secret": self._secret, "home": job.home, "rules": floor().rules, **lists}

    def _rsync_options(self) -> dict[str, Any]:
        job = self._job
        limits = {"bandwidthKiB": job.bandwidth_kib, "timeoutSeconds": RSYNC_TIMEOUT_SECONDS}
        found = {"sparse": bool(self._counts["sparse"]), "compress": bool(self._counts["mostlyText"])}
        return {"refresh": job.refresh, **found, **limits}


def _answers(stream: IO[bytes], secret: str) -> Iterator[dict[str, Any]]:
    """Yield the lines with our mark; whatever a login shell prints besides is passed over, also in the same line."""
    mark = f"{MARK}{secret} ".encode()
    for line in iter(lambda: stream.readline(_LONGEST_ANSWER), b""):
        _, found, text = line.partition(mark)
        if found and line.endswith(b"\n"):  # a last line may be cut with the connection
            document = json.loads(text)
            if isinstance(document, dict) and "event" in document:
                yield document


def main(arguments: list[str]) -> int:
    """Run the copy that the job file describes; return the pod's exit code."""
    job_file, source_key, clone_key, termination_log = (Path(argument) for argument in arguments)
    progress = Progress()
    job: CopyJob | None = None
    try:
        job = parse_job(json.loads(job_file.read_text(encoding="utf-8")))
        outcome = _carried(job, Keys(source_key, clone_key), progress)
    except _FAILURES as error:
        what = "the copy failed" if job else "the copy's description is refused"
        outcome = Outcome(ended=Ended.COPY_FAILED, message=f"{what}: {_sentence(error)}")
    text = receipt(outcome, job)
    progress.tell({"phase": "Ended", "receipt": json.loads(text)})
    termination_log.write_text(text, encoding="utf-8")
    return outcome.exit_code


def _carried(job: CopyJob, keys: Keys, progress: Progress) -> Outcome:
    """Run the copy until it ends, its time is up, or the pod is stopped."""
    interruption = Interruption()
    signal.signal(signal.SIGTERM, lambda *_: interruption.interrupt("the Job was stopped"))
    timer = threading.Timer(job.timeout_seconds, interruption.interrupt, ["the copy took longer than its timeout"])
    timer.daemon = True
    timer.start()
    progress.start()
    staging = Path(os.environ.get("VMCLONE_STAGING", "/staging"))
    try:
        return relay(job, keys, interruption=interruption, staging=staging, progress=progress)
    except _FAILURES:
        if not interruption.message:
            raise
        return Outcome(ended=Ended.INTERRUPTED, message=interruption.message)
    finally:
        timer.cancel()
        progress.end()


def _sentence(error: Exception) -> str:
    """Return what an error says; a KeyError says no more than the key."""
    return str(error) if isinstance(error, (OSError, ValueError)) else f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
