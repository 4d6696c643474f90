"""The API server's own time, from the Date header of its answers.

Between two answers the monotonic clock counts on: setting the node's clock changes nothing here. The header has whole
seconds and travels a while, so this time is a little behind, never ahead.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime


class ServerTime:
    """What the API server's clock shows now."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told: tuple[datetime, float] | None = None

    def heard(self, date: str | None) -> None:
        """Take the Date header of an answer; one that is not there or no date says nothing."""
        try:
            told = parsedate_to_datetime(date or "")
        except ValueError:
            return
        if told.tzinfo is not None:
            self._told = told, self._clock()

    def now(self) -> datetime | None:
        """Return the time, None before the first answer."""
        if self._told is None:
            return None
        told, at = self._told
        return told + timedelta(seconds=self._clock() - at)
