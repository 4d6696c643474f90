"""A process that does nothing but end our work on the source when nobody is there for it any more.

The work itself cannot be trusted with that: an expression that never ends holds the interpreter, so that neither the
end of the connection nor a signal is noticed. The guard watches the connection to the relay and a pipe on which the
work tells that it lives and that the relay does; when one ends or is silent for too long, everything that was started
here is ended and the private folder is removed.
"""

# Runs on the source, on Python 3.6: no newer typing.
# ruff: noqa: UP045, PTH118, PTH123

import json
import mmap
import os
import select
import shutil
import signal
import sys
import time
from types import FrameType
from typing import Optional

_LEAST_PULSE_SECONDS = 1.0
_ROOM = 4096
PLACE = "@place@"


class Guard:
    """Started before anything else; `pulse` is called whenever the relay was heard."""

    def __init__(self, folder: str, silence_seconds: float, *, not_for_guard: int, grace_seconds: float = 10.0) -> None:
        if os.getpgrp() != os.getpid():
            os.setpgid(0, 0)
        self._place = mmap.mmap(-1, _ROOM)
        self._folder, self._silence_seconds, self._grace_seconds = folder, silence_seconds, grace_seconds
        reads, self._pipe = os.pipe()
        self._told = time.monotonic()
        worker = os.getpid()
        if os.fork() == 0:
            os.close(self._pipe)
            os.close(not_for_guard)
            try:
                self._watch(reads, worker)
            finally:
                os._exit(0)
        os.close(reads)
        signal.signal(signal.SIGTERM, _end)

    def pulse(self) -> None:
        """Tell that the relay is there and that we can be told so."""
        now = time.monotonic()
        if now - self._told >= _LEAST_PULSE_SECONDS:
            self._told = now
            os.write(self._pipe, b".")

    def at(self, path: bytes) -> None:
        """Note what is looked into, for the message if it never ends."""
        self._place[: len(path[: _ROOM - 1]) + 1] = path[: _ROOM - 1] + b"\0"

    def say_when_stuck(self, line: bytes) -> None:
        """Set what is said before the end if the work is stuck; PLACE in it stands for what was looked into."""
        with open(os.path.join(self._folder, "stuck"), "wb") as file:
            file.write(line)

    def _watch(self, pipe: int, worker: int) -> None:
        os.setpgid(0, 0)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        poll.register(pipe, select.POLLIN)
        while True:
            ready = [handle for handle, _ in poll.poll(self._silence_seconds * 1000)]
            if pipe in ready and not os.read(pipe, 4096):
                return  # the work came to its end
            if not ready:
                self._tell_stuck()
            if pipe not in ready:
                break
        poll.unregister(sys.stdout.fileno())
        self._end_worker(pipe, worker)

    def _tell_stuck(self) -> None:
        try:
            with open(os.path.join(self._folder, "stuck"), "rb") as file:
                line = file.read()
            place = bytes(self._place).partition(b"\0")[0].decode("utf-8", "backslashreplace")
            os.write(sys.stdout.fileno(), line.replace(PLACE.encode(), json.dumps(place)[1:-1].encode()))
        except OSError:
            return  # nobody listens, or nothing was begun

    def _end_worker(self, pipe: int, worker: int) -> None:
        for number in (0, signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(worker, number)
            except OSError:
                break
            if _ended(pipe, self._grace_seconds):
                break
        shutil.rmtree(self._folder, ignore_errors=True)


def _ended(pipe: int, seconds: float) -> bool:
    """Return whether the work's end of the pipe was closed in time."""
    deadline = time.monotonic() + seconds
    while select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
        if not os.read(pipe, 4096):
            return True
    return False


def _end(number: int, frame: Optional[FrameType]) -> None:  # noqa: ARG001  - what a handler is given
    raise SystemExit(1)
