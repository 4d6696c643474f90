"""How faults of Proxmox VE's HTTP daemon look. Each request is a point: `call` is its endpoint."""

from __future__ import annotations

from tests.doubles.faults import RequestFaults
from tests.doubles.pve.refusals import Raw

from vmclone_operator.domain.errors import CloneError
from vmclone_operator.providers.fake.faults import Fault, FaultKind


class ServerSays(CloneError):  # noqa: N818  - named for what happened
    """An answer of the HTTP daemon in place of the API's: 595 when a node is down, 596 when a worker died."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason_phrase = reason


class Faults(RequestFaults):
    """Lets a schedule's faults strike at requests; THROTTLE is a 503."""

    verb = "pve"

    def answer(self, fault: Fault) -> Exception | None:
        """Return the daemon's own words."""
        if isinstance(fault.error, ServerSays):
            return Raw(fault.error.status, fault.error.reason_phrase)
        if fault.kind is FaultKind.THROTTLE:
            return Raw(503, "Service Unavailable")
        return None
