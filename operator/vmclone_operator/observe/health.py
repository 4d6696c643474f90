"""Whether this process works: what the probes answer.

Ready means: our kinds are served as this operator knows them, and the API server answers. Who leads is a metric:
a standby must be Ready, or no rollout of two replicas would ever end. Alive means: the event loop turns, and a
leader that lost the Lease has ended, and a leader hears of its objects.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vmclone_operator.kube.cluster import Kind
    from vmclone_operator.kube.lease import LeaseKeeper

_BEAT_SECONDS = 0.5
_REMEMBERED_BEATS = 120
_LAG_LIMIT_SECONDS = 20.0
_ANSWER_LIMIT_SECONDS = 30.0
_LEASE_LIMIT_SECONDS = 60.0
_HANGS_SECONDS = 60.0
"""After how long a loop that does not turn counts as hanging, and its Lease is not renewed for it."""
_LISTS_MISSED = 2
_LEAST_SILENCE_SECONDS = 60.0


class LoopLag:
    """How late the event loop wakes a sleeper: the worst of the last minute."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._late: deque[float] = deque(maxlen=_REMEMBERED_BEATS)
        self._beat_at: float | None = None

    async def watch(self) -> None:
        """Measure for ever."""
        while True:
            before = self._clock()
            await asyncio.sleep(_BEAT_SECONDS)
            self._beat_at = self._clock()
            self.note(self._beat_at - before - _BEAT_SECONDS)

    def turns(self) -> bool:
        """Return whether the loop has turned within the last minute; asked from another thread."""
        return self._beat_at is None or self._clock() - self._beat_at < _HANGS_SECONDS

    def note(self, seconds: float) -> None:
        """Remember how late one wake-up was."""
        self._late.append(max(0.0, seconds))

    @property
    def last_seconds(self) -> float:
        """How late the last wake-up was."""
        return self._late[-1] if self._late else 0.0

    @property
    def worst_seconds(self) -> float:
        """The worst of the last minute."""
        return max(self._late, default=0.0)


class News:
    """How long a leader has heard nothing at all: neither an event nor a list, of any kind."""

    def __init__(self, heard: Mapping[Kind, float], *, clock: Callable[[], float], relist_seconds: float) -> None:
        self._heard, self._clock, self._since = heard, clock, clock()
        self.limit_seconds = max(_LISTS_MISSED * relist_seconds, _LEAST_SILENCE_SECONDS)
        """A longer silence means that two lists in a row did not come."""

    @property
    def age_seconds(self) -> float:
        """Seconds since the last news of any kind; before the first, since this process leads."""
        return self._clock() - max(self._heard.values(), default=self._since)


class Health:
    """Answers the probes with an empty string, or with what is wrong."""

    def __init__(self, lag: LoopLag) -> None:
        self.lag = lag
        self.keeper: LeaseKeeper | None = None
        """Set when our kinds were found served as we know them."""
        self.leads = False
        """Whether this process was given the Lease; it never goes on without it."""
        self.claim = ""
        """Why this process holds its Lease and does nothing: another installation works in the same namespaces."""
        self.news: News | None = None
        """Set while this process leads: a standby watches nothing."""

    def not_ready(self) -> str:
        """Return why this process cannot work, or an empty string."""
        if self.keeper is None:
            return "the CustomResourceDefinitions are not checked yet"
        if self.keeper.silent_seconds > _ANSWER_LIMIT_SECONDS:
            return f"the API server has not answered for {_ANSWER_LIMIT_SECONDS:.0f} s"
        return self.claim

    def not_alive(self) -> str:
        """Return why this process should be started again, or an empty string."""
        if self.lag.last_seconds > _LAG_LIMIT_SECONDS:
            return f"the event loop stood still for {self.lag.last_seconds:.0f} s"
        if self.leads and self.keeper is not None and self.keeper.age_seconds > _LEASE_LIMIT_SECONDS:
            return "the lease is lost and the process has not ended"
        if self.news is not None and self.news.age_seconds > self.news.limit_seconds:
            return f"no event and no list of any kind has come for {self.news.age_seconds:.0f} s"
        return ""
