"""The relay's connection to the clone: our program there notes how the home is, and compares what arrived in it.

It is another connection than the one that the bytes come over. Whatever the source says of its copy, it is only
believed when the clone has seen it.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from vmclone_operator.homecopy.answers import answers
from vmclone_operator.homecopy.bundle import NO_PYTHON, clone_program
from vmclone_operator.homecopy.connection import agent_environment, clone_at
from vmclone_operator.homecopy.job import CopyJob
from vmclone_operator.homecopy.outcome import CopyEnded, Ended, Outcome, outcome_of_clone, printable
from vmclone_operator.homecopy.source.send import CLONE, write_clone_config

CHECK = "vmclone-check"
"""The word by which the copy's key lets the one program of its line run."""
_AT_ONCE = 2000
_DOES = {"begin": "note how its home is", "finish": "clear up", "remove": "remove what differs"}
_CLOSE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Compared:
    """What the clone found."""

    good: int
    """Entries that are as they were judged."""
    suspects: tuple[str, ...]
    """Paths, in base64, that differ or are missing."""


class CloneHome:
    """The clone's home as the clone sees it."""

    def __init__(self, job: CopyJob, folder: Path, secret: str) -> None:
        write_clone_config(str(folder), clone_at(job, job.clone.address, job.clone.port))
        command = ["ssh", "-F", str(folder / "ssh_config"), CLONE, CHECK]
        pipe, environment = subprocess.PIPE, agent_environment(folder)
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment)
        self._complaints: list[bytes] = []
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self._answers = answers(self._pipe(self._process.stdout), secret)
        self._write(clone_program())
        self._tell({"secret": secret, "refresh": bool(job.refresh)})

    def judged(self, data: str) -> None:
        """Hand a part of the list on."""
        self._tell({"data": data})

    def begin(self) -> None:
        """Have the home noted down as it is before the first byte arrives."""
        self._do("begin")

    def check(self) -> Compared:
        """Compare the whole home with the list."""
        return self._compared("check")

    def check_again(self) -> Compared:
        """Compare what was sent again with the list that came for it."""
        return self._compared("checkAgain")

    def remove(self, paths: Sequence[str]) -> None:
        """Remove what came and differs."""
        for start in range(0, len(paths), _AT_ONCE):
            self._tell({"paths": list(paths[start : start + _AT_ONCE])})
        self._do("remove")

    def finish(self) -> None:
        """Leave nothing of ours in the home."""
        self._do("finish")

    def space(self) -> dict[str, Any]:
        """Return what is free on the home's file system."""
        return self._do("space")[-1]

    def end(self) -> None:
        """Hang up, from any thread."""
        self._process.terminate()

    def close(self) -> None:
        """Hang up and wait."""
        self.end()
        try:
            self._process.wait(_CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _compared(self, what: str) -> Compared:
        good, suspects = 0, []
        for answer in self._do(what):
            good += int(answer.get("number", 0))
            suspects += [str(path) for path in answer.get("paths", [])]
        return Compared(good, tuple(suspects))

    def _do(self, what: str) -> list[dict[str, Any]]:
        """Have one order carried out; return its answers, or raise CopyEnded when the clone is gone."""
        self._tell({"do": what})
        told: list[dict[str, Any]] = []
        for answer in self._answers:
            told.append(answer)
            if answer["event"] == "failed":
                message = f"the clone could not {_DOES.get(what, what)}: {printable(str(answer['message']))}"
                raise CopyEnded(Outcome(ended=Ended.COPY_FAILED, message=message))
            if answer["event"] == what:
                return told
        raise CopyEnded(self._gone())

    def _gone(self) -> Outcome:
        try:
            code = self._process.wait(_CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self.end()
            code = self._process.wait()
        self._listener.join(10)
        if code == NO_PYTHON:
            message = "the clone needs python3 (3.6 or newer) to compare what arrived: install it in the golden image"
            return Outcome(ended=Ended.COPY_FAILED, message=message)
        return outcome_of_clone(code, b"".join(self._complaints).decode("utf-8", "replace"))

    def _tell(self, document: dict[str, Any]) -> None:
        self._write(json.dumps(document).encode() + b"\n")

    def _write(self, data: bytes) -> None:
        stream = self._pipe(self._process.stdin)
        try:
            stream.write(data)
            stream.flush()
        except (BrokenPipeError, ValueError):
            pass  # shows as the end of the answers

    def _listen(self) -> None:
        for line in self._pipe(self._process.stderr):
            self._complaints.append(line)
            del self._complaints[:-50]

    @staticmethod
    def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
        assert stream is not None  # noqa: S101  - a pipe was asked for
        return stream


def batches(paths: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    """Yield the paths in parts."""
    for start in range(0, len(paths), size):
        yield tuple(paths[start : start + size])
