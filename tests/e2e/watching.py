"""Objects as they change, without polling: a kill at a step transition must come at the transition."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from tests.e2e.cluster import NAMESPACE, REPLICAS, VMCLONES, Document, explanation


class Watch:
    """VMClones and replicas of the team, every version that the API server tells."""

    def __init__(self) -> None:
        """Begin to watch."""
        self._changes: queue.Queue[Document] = queue.Queue()
        self._processes = [_watching(plural) for plural in (VMCLONES, REPLICAS)]
        self._readers = [threading.Thread(target=self._read, args=(p,), daemon=True) for p in self._processes]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.terminate()
            process.wait(timeout=10)
        for reader in self._readers:
            reader.join(timeout=10)
        for process in self._processes:
            assert process.stdout is not None
            process.stdout.close()

    def changes(self, seconds: float, awaited: str) -> Iterator[Document]:
        """Yield each change until the caller has seen enough; fails past the deadline."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                yield self._changes.get(timeout=left)
            except queue.Empty:
                break
        raise AssertionError(f"not within {seconds:.0f} s: {awaited}\n{explanation()}")

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._changes.put(json.loads(line))


def _watching(plural: str) -> subprocess.Popen[str]:
    argv = ["kubectl", "-n", NAMESPACE, "get", plural, "--watch", "-o", 'jsonpath={@}{"\\n"}']
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
