"""What somebody else changed about a clone that was made: gone, no longer ours, or of another shape. Pure.

Compared is what was recorded when the clone was complete with what the backend shows now. Whether it is on is not
drift: a clone that was switched off by hand is switched on again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from vmclone_operator.domain.ownership import of_instance
from vmclone_operator.domain.source_values import AS_THE_SOURCE, Shape


class DriftKind(StrEnum):
    """The reasons of the Drifted condition."""

    MISSING = "Missing"
    """Its VM is gone: it is made again."""
    FOREIGN = "Foreign"
    """A VM has its UUID and not our stamp: it is left alone."""
    RECONFIGURED = "Reconfigured"
    """Its VM has another shape than it was made with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How a clone differs from what was made, for people."""

    kind: DriftKind
    message: str


def drift_of(made: Shape | None, seen: Shape | None, *, foreign: str, instance: str = "") -> Drift | None:
    """Return how a clone that was complete differs now; `seen` is None when no VM carries its stamp.

    `foreign` is the VM that has its place, `instance` whose stamp that carries if it is the clone itself.
    """
    if seen is None and foreign and instance:
        return Drift(kind=DriftKind.FOREIGN, message=f"the VM {foreign} {of_instance(instance)}")
    if seen is None and foreign:
        message = (
            f"VM {foreign} has the clone's UUID and not our stamp; it is left alone: put its metadata back, or remove"
            " the VM to have the clone made again"
        )
        return Drift(kind=DriftKind.FOREIGN, message=message)
    if seen is None:
        return Drift(kind=DriftKind.MISSING, message="the clone was deleted at the backend")
    changes = "; ".join(differences(made, seen))
    if not changes:
        return None
    return Drift(kind=DriftKind.RECONFIGURED, message=f"the clone's VM was changed at the backend: {changes}")


def differences(made: Shape | None, seen: Shape) -> Iterator[str]:
    """Yield what is not as it was made; nothing where either is not known."""
    if made is None or AS_THE_SOURCE in (made, seen):
        return
    if made.cpus != seen.cpus:
        yield f"{_count(made.cpus, 'CPU')} became {seen.cpus}"
    if made.memory_bytes != seen.memory_bytes:
        yield f"{_mebibytes(made.memory_bytes)} of memory became {_mebibytes(seen.memory_bytes)}"
    if made.networks != seen.networks:
        yield f"networks {_names(made.networks)} became {_names(seen.networks)}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _mebibytes(count: int) -> str:
    return f"{count // 1024**2} MiB"


def _names(networks: Sequence[str]) -> str:
    return ", ".join(networks) or "(none)"
