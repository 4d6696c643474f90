"""Threads for calls that block, sized per connection, and never in the way of the process's end.

Not the standard library's executor: Python waits for its threads at exit, and the copy of a disk, which
goes on in libvirtd anyway, would hold up a restart of the operator for as long as it takes.
"""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
P = ParamSpec("P")


class Threads(Executor):
    """A fixed number of daemon threads, started when first needed."""

    def __init__(self, count: int, *, name: str, at_end: Callable[[], None] = lambda: None) -> None:
        self._name = name
        self._at_end = at_end
        self._lock = threading.Lock()
        self._missing = count
        self._started: list[threading.Thread] = []
        self._work: queue.SimpleQueue[tuple[Future[object], Callable[[], object]] | None] = queue.SimpleQueue()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a call in one of the threads."""
        future: Future[T] = Future()
        self._work.put((future, lambda: fn(*args, **kwargs)))  # type: ignore[arg-type]  # the queue forgets T
        self._start_one()
        return future

    def _start_one(self) -> None:
        with self._lock:
            if self._missing == 0:
                return
            self._missing -= 1
            thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
            self._started.append(thread)
            thread.start()

    def _serve(self) -> None:
        while (item := self._work.get()) is not None:
            future, call = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 - whatever it is belongs to who asked, as in every executor
                future.set_exception(error)
            del future, call, item
        self._at_end()

    def join(self) -> None:
        """Wait until every thread has ended; after `shutdown` only."""
        for thread in self._started:
            thread.join()

    def shutdown(self, wait: bool = False, *, cancel_futures: bool = True) -> None:  # noqa: ARG002, FBT001, FBT002 - Executor's signature
        """Cancel what has not begun; what has begun ends by itself and nobody waits for it."""
        while cancel_futures and not self._work.empty():
            item = self._work.get()
            if item is not None:
                item[0].cancel()
        with self._lock:
            self._missing, started = 0, len(self._started)
        for _ in range(started):
            self._work.put(None)
