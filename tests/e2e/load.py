"""Somebody works on the source: numbered, fsynced writes whose gaps show how long its disk ever stood still."""

from __future__ import annotations

import itertools
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.machines import Login

FILE = "load.log"
PAUSE_SECONDS = 0.1
# It ends with its ssh connection: nobody is left to write when the tests are over.
_PROGRAM = f"""
import os, time
parent, number = os.getppid(), 0
file = os.open("{FILE}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
while os.getppid() == parent:
    os.write(file, f"{{number}} {{time.monotonic():.3f}}\\n".encode())
    os.fsync(file)
    number += 1
    time.sleep({PAUSE_SECONDS})
"""


@dataclass(frozen=True, slots=True)
class Gaps:
    """Seconds between two writes that reached the disk."""

    p99: float
    longest: float
    writes: int


class WriteLoad:
    """A write load on one VM, from its start to `close`."""

    def __init__(self, login: Login) -> None:
        """Begin to write."""
        self._login = login
        self._folder = tempfile.TemporaryDirectory()
        argv = login.argv(Path(self._folder.name) / "known_hosts", "python3 -")
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        assert self._process.stdin is not None
        self._process.stdin.write(_PROGRAM.encode())
        self._process.stdin.close()

    def written(self) -> int:
        """Return how many writes have reached the disk."""
        return len(self._lines())

    def gaps(self, since: int = 0) -> Gaps:
        """Return the gaps between the writes from this number on; fails when the load has died."""
        assert self._process.poll() is None, "the write load has ended"
        times = [float(line.split()[1]) for line in self._lines()[since:]]
        steps = sorted(after - before for before, after in itertools.pairwise(times))
        assert steps, "nothing was written"
        return Gaps(p99=steps[int(len(steps) * 0.99)], longest=steps[-1], writes=len(times))

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=10)
        self._folder.cleanup()

    def _lines(self) -> list[str]:
        return self._login.run(f"cat {FILE} 2>/dev/null || true").splitlines()


def last_number(login: Login) -> int:
    """Return the last number in a clone's copy of the file."""
    return int(login.run(f"tail -n 1 {FILE}").split()[0])
