"""Signals that end the program: what was made only for a while is removed before.

    with orderly():  # SIGTERM and SIGHUP unwind like Ctrl-C
        try:
            with held():  # none of them comes between the call and its answer
                made = make()
            look_at(made)
        finally:
            with held():
                remove(made)

The second of them waits, too: a person who presses Ctrl-C twice leaves nothing behind.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

_Handler = Callable[[int, FrameType | None], None]
_ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))  # Windows has no HUP
_SHELL = 128
"""What shells add to a signal's number for the exit status."""


@contextmanager
def orderly() -> Iterator[None]:
    """Have the signals that end a program raise SystemExit inside the block, as Ctrl-C raises KeyboardInterrupt."""
    with _handled(_ENDING, _end):
        yield


@contextmanager
def held() -> Iterator[None]:
    """Put off the signals that end a program, Ctrl-C too, until the block is done."""
    came: list[int] = []
    try:
        with _handled((signal.SIGINT, *_ENDING), lambda number, _: came.append(number)):
            yield
    finally:
        if came:
            signal.raise_signal(came[0])


def _end(number: int, _: FrameType | None) -> None:
    raise SystemExit(_SHELL + number)


@contextmanager
def _handled(numbers: Sequence[int], handler: _Handler) -> Iterator[None]:
    """Handle signals in a way of our own; one that is ignored, as under nohup, stays ignored."""
    before = {number: signal.getsignal(number) for number in numbers}
    ours = [number for number, known in before.items() if known is not signal.SIG_IGN]
    for number in ours:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, before[number] or signal.SIG_DFL)
