"""Three kinds of backends that the fake can be: how slow, in how many steps, and how often it may be asked.

The engine is proven against slow and remote backends before there is an adapter for one. A World is `LIBVIRT` until it
is told to be another (`World.become`). With `PROXMOX` the first freeze answers an id that it has chosen and writes
nothing; the second one, which gets the id back, begins a copy of five minutes, and the point in time is its end. With
`AZURE` each VM has a bucket of 36 reads that fills again by 12 a minute, an empty one answers RetryLater; and its
guests answer no commands: they run tasks, one at a time (`tasks`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from vmclone_operator.domain.backend import Capabilities, GuestChannel
from vmclone_operator.domain.errors import RetryLater

_FIRST_ID = 9101


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How a kind of backend behaves."""

    capabilities: Capabilities = field(default_factory=Capabilities)
    again_seconds: float = 0
    """What it says of long tasks: not worth asking earlier."""
    claims: bool = False
    """An id must be chosen, and remembered by the caller, before anything is made."""
    point_at_end: bool = False
    """The copy shows its source as it is when the copy ends, and what it is worth is known then."""
    burst: int = 0
    """How often one VM may be asked at once; 0: without limit."""
    reads_per_minute: float = 0
    boot_seconds: float = 0
    settle_seconds: float = 0
    copy_seconds: float = 0
    clone_seconds: float = 0


LIBVIRT = Profile()
PROXMOX = Profile(
    capabilities=Capabilities(look_seconds=3),
    again_seconds=12,
    claims=True,
    point_at_end=True,
    boot_seconds=30,
    settle_seconds=20,
    copy_seconds=300,
)
AZURE = Profile(
    capabilities=Capabilities(look_seconds=10, linked=False, guest=GuestChannel.TASK),
    again_seconds=10,
    burst=36,
    reads_per_minute=12,
    boot_seconds=45,
    settle_seconds=20,
    copy_seconds=20,
    clone_seconds=60,
)


@dataclass(slots=True)
class Ids:
    """The ids that VMs have, ours and strangers'; whoever comes first has one."""

    holders: dict[str, str] = field(default_factory=dict)

    def free(self) -> str:
        """Return an id that nobody has now; it is not taken by that."""
        number = _FIRST_ID
        while str(number) in self.holders:
            number += 1
        return str(number)

    def take(self, number: str, holder: str) -> bool:
        """Make something under an id; false when another one was faster."""
        return self.holders.setdefault(number, holder) == holder


@dataclass(slots=True)
class Reads:
    """What each VM was asked, and when: a bucket that fills with time, as Azure has one for each VM."""

    times: dict[str, list[float]] = field(default_factory=dict)
    verbs: dict[str, int] = field(default_factory=dict)
    _left: dict[str, tuple[float, float]] = field(default_factory=dict)

    def count(self, profile: Profile, verb: str, vm: str, now: float) -> None:
        """Count a look at a VM; raises RetryLater, with the time to wait, when its bucket is empty."""
        self.verbs[verb] = self.verbs.get(verb, 0) + 1
        if not vm:
            return
        self.times.setdefault(vm, []).append(now)
        if profile.burst:
            self._spend(profile, vm, now)

    def _spend(self, profile: Profile, vm: str, now: float) -> None:
        each = 60 / profile.reads_per_minute
        tokens, since = self._left.get(vm, (float(profile.burst), now))
        tokens = min(profile.burst, tokens + (now - since) / each)
        if tokens < 1:
            self._left[vm] = (tokens, now)
            wait = timedelta(seconds=(1 - tokens) * each)
            raise RetryLater("too many requests for this VM", retry_after=wait)
        self._left[vm] = (tokens - 1, now)

    def most_in_a_minute(self, vm: str) -> int:
        """Return how often a VM was asked in its worst minute."""
        times = self.times.get(vm, [])
        return max((sum(1 for later in times[n:] if later - first < 60) for n, first in enumerate(times)), default=0)  # noqa: PLR2004  - a minute
