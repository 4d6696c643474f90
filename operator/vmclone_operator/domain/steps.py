"""The words of a decision about one replica: what to do, in which step of its life, and what people are told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from vmclone_operator.domain.conditions import Progress


class Do(StrEnum):
    """What the pass carries out; at most one change a pass."""

    NOTHING = "Nothing"
    RESERVE = "Reserve"
    START_CLONE = "StartClone"
    RECORD_CLONE = "RecordClone"
    POWER_ON = "PowerOn"
    POWER_OFF = "PowerOff"
    RELEASE_NETWORK_WAIT = "ReleaseNetworkWait"
    RESERVE_TASK = "ReserveTask"
    RESET_IDENTITY = "ResetIdentity"
    RECORD_IDENTITY = "RecordIdentity"
    CONNECT = "Connect"
    RESERVE_COPY = "ReserveCopy"
    START_COPY = "StartCopy"
    RECORD_COPY = "RecordCopy"
    STOP_COPY = "StopCopy"
    CLEAN_COPY = "CleanCopy"
    RECORD_READY = "RecordReady"
    RECORD_KEYS = "RecordKeys"
    REPLACE_KEYS = "ReplaceKeys"
    TELL_KEYS = "TellKeys"
    REPORT_MISSING = "ReportMissing"


COPYING = frozenset({Do.RESERVE_COPY, Do.START_COPY, Do.RECORD_COPY, Do.STOP_COPY, Do.CLEAN_COPY})
"""What is done about a home copy."""


class InLine(float):
    """A wait in seconds of somebody who stands in line, and is woken when it is their turn.

    A type of its own, for the work queue stretches it: the more stand in line, the more seldom each looks unasked.
    """


SAFETY_NET_SECONDS = InLine(60)
"""When who waits in line looks again unasked, in case the wake-up was lost."""
WAITING = "Waiting"
"""State of a step that has no slot yet: its time has not begun."""


class Step(StrEnum):
    """The life of a replica, in order, as people see it."""

    RESERVE = "Reserve"
    FREEZE = "Freeze"
    CLONE = "Clone"
    BOOT = "Boot"
    IDENTITY = "Identity"
    HOME_COPY = "HomeCopy"
    VERIFY = "Verify"
    READY = "Ready"

    @property
    def percent(self) -> int:
        """Return how far a replica in this step is, 0 to 100."""
        return _PERCENT[self.value]

    @property
    def condition(self) -> str:
        """Return the condition that this step makes true; empty when it has none."""
        return _CONDITIONS.get(self.value, "")


_PERCENT = {
    "Reserve": 0,
    "Freeze": 5,
    "Clone": 15,
    "Boot": 25,
    "Identity": 50,
    "HomeCopy": 60,
    "Verify": 95,
    "Ready": 100,
}
_CONDITIONS = {"Clone": "Provisioned", "Identity": "IdentityReset", "HomeCopy": "HomeCopied"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocker:
    """Why nothing may be begun: a condition reason and a sentence."""

    reason: str
    message: str
    retrying: bool = False
    """True when it goes away by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyNews:
    """What a decision says of a home copy beside its reason and message."""

    percent: int = 0
    eta_seconds: int = 0
    done_bytes: int = 0
    total_bytes: int = 0
    job: str = ""
    position: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The next step, and the words for status."""

    do: Do
    step: Step
    reason: str
    message: str
    progress: Progress = Progress.WORKING
    again_seconds: float | None = None
    """Look again after this long, if nothing wakes the replica before."""
    copy: CopyNews | None = None
    failed: bool = False
    """An attempt failed, and another one follows by itself."""


def wait(step: Step, reason: str, message: str, seconds: float) -> Decision:
    """Return the decision to look again after a while."""
    return Decision(do=Do.NOTHING, step=step, reason=reason, message=message, again_seconds=seconds)


def waits_in_line(step: Step, reason: str, message: str) -> Decision:
    """Return the decision to wait until woken; the time is a safety net, should the wake-up be lost."""
    return wait(step, reason, message, SAFETY_NET_SECONDS)


def act(do: Do, step: Step, reason: str, message: str) -> Decision:
    """Return the decision to do something, and to look again at once."""
    return Decision(do=do, step=step, reason=reason, message=message, again_seconds=0)


def stalled(step: Step, reason: str, message: str, seconds: float = 60) -> Decision:
    """Return the decision that a person is needed."""
    return Decision(
        do=Do.NOTHING, step=step, reason=reason, message=message, progress=Progress.STALLED, again_seconds=seconds
    )
