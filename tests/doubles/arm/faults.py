"""How ARM's faults look. Each request to ARM (not to the login service) is a point: `call` is its method and kind."""

from __future__ import annotations

from tests.doubles.arm.refusals import Refusal
from tests.doubles.faults import RequestFaults

from vmclone_operator.domain.errors import CloneError
from vmclone_operator.providers.fake.faults import Fault, FaultKind


class ServerSays(CloneError):  # noqa: N818  - named for what happened
    """An answer in place of the real one: 503 ServiceUnavailable, 500 InternalServerError."""

    def __init__(self, status: int, code: str, message: str = "") -> None:
        super().__init__(f"{status} {code}")
        self.refusal = Refusal(status, code, message or "The server is busy.")


class Faults(RequestFaults):
    """Lets a schedule's faults strike at requests to ARM; THROTTLE is a 429 with Retry-After."""

    verb = "arm"

    def answer(self, fault: Fault) -> Exception | None:
        """Return ARM's refusal."""
        if isinstance(fault.error, ServerSays):
            return fault.error.refusal
        if fault.kind is FaultKind.THROTTLE:
            message = "Number of requests for subscription exceeded the limit. Please try again later."
            return Refusal(429, "SubscriptionRequestsThrottled", message, retry_after=fault.retry_after_seconds)
        return None
