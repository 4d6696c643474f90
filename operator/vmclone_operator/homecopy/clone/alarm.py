"""Ends a look into a file that would never end: an expression that is tried in all its ways stops the whole scrub.

CPU time counts, not the clock: a guest without KVM is slow, and one that waits for its disk works at nothing.
"""

# Runs in the clone, on Python 3.6.

import atexit
import signal

SECONDS = 60
"""CPU seconds at least, twice that at most, for one file of at most 1 MiB; even emulated guests need few."""


class NoEnd(Exception):  # noqa: N818 - named for what happened
    """What was looked into comes to no end."""


class Alarm:
    """`with alarm: ...` raises NoEnd in whatever takes too long; the timer runs all the time and costs nothing."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._looks = 0
        self._looking = False
        self._rang_at = -1
        signal.signal(signal.SIGPROF, self._ring)
        signal.setitimer(signal.ITIMER_PROF, seconds, seconds)
        atexit.register(self.stop)  # Python gives handlers back before it ends: a ring after that would kill it

    @staticmethod
    def stop() -> None:
        """Let it ring no more."""
        signal.setitimer(signal.ITIMER_PROF, 0)

    def __enter__(self) -> None:
        self._looks += 1
        self._looking = True

    def __exit__(self, *error: object) -> None:
        self._looking = False

    def _ring(self, *_: object) -> None:
        if not self._looking:
            return
        if self._rang_at == self._looks:
            raise NoEnd
        self._rang_at = self._looks
