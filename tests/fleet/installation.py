"""One operator process over a fake backend in memory, on the lab's real API server, and what it costs.

Passes come from its own metrics, CPU and memory from /proc, and writes from the API server's audit log, not from us.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

from tests.integration.leaders.operators import ROOT, STOP_SECONDS, Place

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PASSES = re.compile(
    r'^controller_runtime_reconcile_total\{controller="(\w+)",result="\w+"\} ([\d.e+]+)$', re.MULTILINE
)


_SPEEDS = re.compile(
    r'^controller_runtime_reconcile_time_seconds_bucket\{controller="(\w+)",le="([^"]+)"\} ([\d.e+]+)$', re.MULTILINE
)


class Installation:
    """The operator under measurement."""

    def __init__(self, place: Place, *, port: int = 18_080) -> None:
        self.place, self._port = place, port
        self._log = place.folder / "fleet.log"
        arguments = ["--namespace", place.namespace, "--identity", "fleet", "--allow-fake", "--log-level", "WARNING"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "vmclone_operator.main", *arguments, "--metrics-port", str(port)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def metrics(self) -> str:
        """Return what it tells Prometheus."""
        with urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=30) as answer:
            text: str = answer.read().decode()
            return text

    def passes(self) -> Counter[str]:
        """Return how many passes there were, by controller."""
        found: Counter[str] = Counter()
        for controller, count in _PASSES.findall(self.metrics()):
            found[controller] += int(float(count))
        return found

    def slow_passes(self) -> dict[str, tuple[int, int]]:
        """Return by controller how many passes took more than 100 ms, and how many there were."""
        found: dict[str, dict[str, int]] = {}
        for controller, limit, count in _SPEEDS.findall(self.metrics()):
            found.setdefault(controller, {})[limit] = int(float(count))
        return {name: (counts["+Inf"] - counts["0.1"], counts["+Inf"]) for name, counts in found.items()}

    def leads(self, backend: str) -> bool:
        """Return whether it works: it has the Lease, and has looked at a CloneBackend."""
        assert self._process.poll() is None, self.last_words()
        try:
            return f'vmclone_backend_up{{backend="{backend}"}} 1.0' in self.metrics()
        except OSError:
            return False

    def cpu_seconds(self) -> float:
        """Return the CPU time that the process has used, its own and the kernel's for it."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory_bytes(self) -> int:
        """Return the memory that the process has resident."""
        return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * _PAGE

    def writes(self, since: int = 0) -> list[str]:
        """Return what it wrote after a place in the audit log, Events apart."""
        return [line for line in self.place.writes_of("fleet", since) if "/events" not in line]

    def log_end(self) -> int:
        """Return the place in the audit log that is its end now."""
        return self.place.audit_log.stat().st_size

    def last_words(self) -> str:
        """Return the end of its log."""
        return self._log.read_text(errors="replace")[-4000:]

    def stop(self) -> None:
        """End the process: told to, it gives its Lease back, and the next one need not wait for that."""
        self._process.terminate()
        try:
            self._process.wait(timeout=STOP_SECONDS)
        finally:
            self._process.kill()


def patiently(seconds: float, pause: float = 1.0) -> Iterator[float]:
    """Yield the seconds since the beginning, once in a while, until the time is over."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        yield time.monotonic() - began
        time.sleep(pause)
