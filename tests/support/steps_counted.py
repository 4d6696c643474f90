"""How much work a pass is, counted and not timed: on a busy machine a clock says nothing, and a count is the same.

A step is one instruction of Python's own machine. What takes twice as many for twice as many replicas is linear; what
takes four times as many walks over all of them for each of them.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

import pytest
from tests.support import simulation

from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.reconcile import reconcile
from vmclone_operator.kube.cluster import Key, Kind


class StepCounter:
    """Counts the steps of what runs between its two ends."""

    def __init__(self) -> None:
        self.steps = 0

    def __enter__(self) -> Self:
        """Count from here on."""
        self._before = sys.gettrace()
        sys.settrace(self._begun)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and give back to whoever traced before, such as a measurement of coverage."""
        sys.settrace(self._before)

    def _begun(self, frame: FrameType, event: str, argument: Any) -> Any:  # noqa: ARG002
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        return self._stepped

    def _stepped(self, frame: FrameType, event: str, argument: Any) -> Any:  # noqa: ARG002
        self.steps += event == "opcode"
        return self._stepped


@contextmanager
def steps_of_passes(*, every: int = 1) -> Iterator[dict[Kind, list[int]]]:
    """Yield the steps of the passes of all simulations meanwhile, by kind: of one in so many, for counting is slow."""
    counted: dict[Kind, list[int]] = defaultdict(list)
    passes: Counter[Kind] = Counter()

    async def counting(engine: Engine, key: Key) -> float | None:
        passes[key.kind] += 1
        if passes[key.kind] % every:
            return await reconcile(engine, key)
        counter = StepCounter()
        try:
            with counter:
                return await reconcile(engine, key)
        finally:
            counted[key.kind].append(counter.steps)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulation, "reconcile", counting)
        yield counted
