"""The last step of opening a session, the same for every backend: it is asked once, and closed where that fails."""

from __future__ import annotations

from typing import Protocol, TypeVar

from vmclone_operator.domain.backend import BackendInfo


class Checkable(Protocol):
    """As much of a session as is needed here."""

    async def check(self) -> BackendInfo:
        """Ask the backend what it is and can do."""

    async def close(self) -> None:
        """End the connection."""


Session = TypeVar("Session", bound=Checkable)


async def checked(session: Session) -> Session:
    """Return a session whose backend answers; raises what its check does, and leaves no connection behind then."""
    try:
        await session.check()
    except BaseException:
        await session.close()
        raise
    return session
