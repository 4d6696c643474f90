"""VMs that were there before their VMClone: a backup tool restored the wish, and the stamps say what was made of it.

Pure. A VM is taken only when everything on it is what this wish would have made: installation, namespace, name and
number, what it is a clone of, and a name that its session could have. What is left belongs to the administrators.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from vmclone_operator.api.vmclone import VMCloneSpec
from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import Mode, ObservedClone


def made_from(spec: VMCloneSpec, mode: Mode) -> str:
    """Return what the clones of a wish are clones of, as it stands on each VM."""
    source = f"session {spec.source.session}" if spec.source.session else f"source {spec.source.name}"
    return f"{mode.value} of {source}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A wish that looks for VMs of its own."""

    namespace: str
    vmclone: str
    uid: str
    """The uid that it has now: what carries it was made for it, and is looked after already."""
    prefix: str
    """What its sessions begin with."""
    made_from: str
    recorded: Mapping[int, str]
    """The sessions that it gave already."""
    went_on_with: Collection[str] = ()
    """The uids that it had when VMs were made that it has adopted already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimable:
    """What one list of a backend showed to whoever looks for VMs of its own."""

    wishes: frozenset[str]
    """The uids of the VMClones that were known when it began: what is theirs was made before, and is in it."""
    clones: tuple[ObservedClone, ...]
    """VMs that were made for earlier VMClones of the same names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A VM that a wish may go on with, and the session that it bears."""

    clone: ObservedClone
    session: str


def matches(claim: Claim, clones: Iterable[ObservedClone], ordinals: Collection[int]) -> dict[int, Match]:
    """Return by ordinal the VM that a wish may go on with.

    Of several for one ordinal that is taken whose VMClone it went on with before, then the one with most siblings.
    """
    found = [match for clone in clones if clone.stamp.ordinal in ordinals and (match := _match(claim, clone))]
    siblings = Counter(match.clone.stamp.vmclone_uid for match in found)

    def rank(match: Match) -> tuple[bool, int, str, str]:
        stamp = match.clone.stamp
        return (
            stamp.vmclone_uid in claim.went_on_with,
            siblings[stamp.vmclone_uid],
            stamp.vmclone_uid,
            stamp.incarnation,
        )

    return {match.clone.stamp.ordinal: match for match in sorted(found, key=rank)}


def _match(claim: Claim, clone: ObservedClone) -> Match | None:
    stamp = clone.stamp
    ours = (stamp.namespace, stamp.vmclone) == (claim.namespace, claim.vmclone) and stamp.vmclone_uid != claim.uid
    if not (ours and clone.complete and clone.made_from == claim.made_from):
        return None
    for session in _possible_sessions(claim, stamp.ordinal):
        if clone.vm_name == naming.vm_name(session, stamp.incarnation):
            return Match(clone=clone, session=session)
    return None


def _possible_sessions(claim: Claim, ordinal: int) -> Sequence[str]:
    """Return the sessions that an ordinal has or may have had: the plain prefix is given to a single one alone."""
    recorded = claim.recorded.get(ordinal)
    if recorded is not None:
        return (recorded,)
    numbered = naming.numbered_session(claim.prefix, ordinal)
    return (numbered, claim.prefix) if ordinal == 1 else (numbered,)
