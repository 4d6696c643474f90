"""The pod's entry point: `python -m vmclone_operator.homecopy.relay JOB SOURCE_KEY CLONE_KEY TERMINATION_LOG`.

A client of both ends and a server of nothing. Its arguments are file names; standard output is JSON lines of
progress, the termination log gets the receipt, the exit code says which way the copy ended.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vmclone_operator.homecopy.carry import Copy
from vmclone_operator.homecopy.connection import Keys, start_agent, write_source_config
from vmclone_operator.homecopy.job import CopyJob, parse_job
from vmclone_operator.homecopy.outcome import Ended, Outcome, receipt
from vmclone_operator.homecopy.progress import Progress
from vmclone_operator.homecopy.source.send import installed_rsync

LEAST_RSYNC = (3, 4, 3)
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
            outcome = Copy(job, folder, interruption.on, staging, progress).run()
        finally:
            agent.terminate()
            agent.wait()
    if interruption.message and outcome.ended is not Ended.COPIED:
        return Outcome(ended=Ended.INTERRUPTED, message=interruption.message, counts=outcome.counts)
    return outcome


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
    progress.tell({"phase": "Ended", "receipt": for_the_log(json.loads(text), outcome.ended)})
    termination_log.write_text(text, encoding="utf-8")
    return outcome.exit_code


def for_the_log(document: dict[str, Any], ended: Ended) -> dict[str, Any]:
    """Return a receipt without the names of files that hold secrets: more people read a pod's log than its VMClone."""
    return {key: value for key, value in document.items() if key != "message" or ended is not Ended.SECRET_FOUND}


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
