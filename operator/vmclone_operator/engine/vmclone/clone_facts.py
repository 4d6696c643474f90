"""What the steps of a VMClone's pass hand on to each other: what was gathered, how far the acts came, what is said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vmclone_operator.api.vmclone import VMCloneStatus
from vmclone_operator.domain.errors import CloneError, RetryLater
from vmclone_operator.domain.steps import Blocker
from vmclone_operator.engine.ledger.freeze_attempts import FreezeHold
from vmclone_operator.engine.source import consent


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What speaks against the source, the plan and the number of replicas; see `summarised`."""

    mode: str = ""
    blocker: Blocker | None = None
    verdict: Blocker | None = None
    over: Blocker | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known before the plan is looked at."""

    found: consent.Consent
    over: Blocker | None
    """Why not all replicas that the spec asks for are made: the limits of the CloneSource."""
    sessions: Mapping[int, str]
    """The session names that are recorded, or those of VMs to adopt, by ordinal."""
    unlisted: CloneError | None
    """Why the backend does not list the VMs to adopt."""
    against_source: Blocker | None

    def words(self, against_source: Blocker | None, against_plan: Blocker | None) -> Words:
        """Return what there is to say beside the replicas' own states."""
        return Words(mode=self.found.mode, blocker=against_source, verdict=against_plan, over=self.over)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How far the acts of a pass came."""

    status: VMCloneStatus
    again: float | None = None
    """After how many seconds the frozen points or the source's power are looked at again."""
    problem: CloneError | None = None
    """What the backend failed with; the pass raises it once it is written."""
    hold: FreezeHold | None = None
    """A freeze failed in this pass or before, and the next one waits."""

    @property
    def failure(self) -> Blocker | None:
        """What is said of the outcome; None when all went well."""
        if self.hold is not None:
            return self.hold.blocker
        problem = self.problem
        if problem is None:
            return None
        return Blocker(reason=problem.reason, message=str(problem), retrying=isinstance(problem, RetryLater))
