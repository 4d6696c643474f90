"""How the server says no.

The text stands in the HTTP reason phrase and, with a newline, in `message`; `errors` by parameter come with
400 only (recordings 01-11; 403 is for permissions alone, nearly everything else is 500).
"""

from __future__ import annotations

from typing import Any

PARAMETERS = "Parameter verification failed."


class Refused(Exception):  # noqa: N818  - named for what happened
    """The server refuses a call, or a worker task ends with this text."""

    def __init__(self, text: str, *, status: int = 500, errors: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.status = status
        self.errors = errors or {}


class Raw(Exception):  # noqa: N818  - named for what happened
    """An answer that the HTTP daemon gives without the API: a status, a reason, and this as the body."""

    def __init__(self, status: int, reason: str, body: Any = "") -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.body = body


class Interrupted(Exception):  # noqa: N818  - named for what happened
    """A worker task is told to stop (SIGTERM): it cleans up, then ends."""


def wrong(parameter: str, text: str) -> Refused:
    """Return the refusal of one parameter."""
    return Refused(PARAMETERS, status=400, errors={parameter: text})


def forbidden(detail: str = "") -> Refused:
    """Return the refusal for want of a privilege; `detail` names path and privilege, or is empty."""
    return Refused(f"Permission check failed ({detail})" if detail else "Permission check failed", status=403)
