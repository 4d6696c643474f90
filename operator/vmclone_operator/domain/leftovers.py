"""Files of ours that nobody needs any more. Whose they were stands in their names, and nowhere else. Pure."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from vmclone_operator.domain import naming
from vmclone_operator.domain.provider_values import Owner

_NAME = re.compile(r"(?P<all>vmclone-(?P<base>base-)?(?P<installation>[0-9a-f]{8})-(?P<owner>[0-9a-f]{32}))-.+")


class LeftoverKind(StrEnum):
    """What a leftover is."""

    VOLUME = "Volume"
    """Disks and seed of a clone whose VM is gone or never was."""
    FROZEN_POINT = "FrozenPoint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """The files of one clone, or of one frozen point, that no VM uses."""

    kind: LeftoverKind
    owner: Owner
    """Of a volume the incarnation, of a frozen point the VMClone."""
    name: str
    """What the names of its files begin with; also what people name it by."""
    token: str = ""
    """Of a frozen point: which one."""


def volume_leftover(instance: str, name: str) -> Leftover | None:
    """Return whose clone's a file is by its name; None for any other file, also of another installation."""
    match = _matched(instance, name)
    if match is None or match["base"]:
        return None
    owner = Owner(instance=instance, incarnation=str(uuid.UUID(match["owner"])))
    return Leftover(kind=LeftoverKind.VOLUME, owner=owner, name=match["all"])


def frozen_leftover(instance: str, name: str, token: str) -> Leftover | None:
    """Return whose frozen point's a file is by its name and token; None for any other file."""
    match = _matched(instance, name)
    if match is None or not match["base"] or not token:
        return None
    owner = Owner(instance=instance, vmclone_uid=str(uuid.UUID(match["owner"])))
    return Leftover(kind=LeftoverKind.FROZEN_POINT, owner=owner, name=f"{match['all']}-{token}", token=token)


def _matched(instance: str, name: str) -> re.Match[str] | None:
    match = _NAME.fullmatch(name)
    return match if match is not None and match["installation"] == naming.installation(instance) else None


def as_in_names(uids: Iterable[str]) -> frozenset[str]:
    """Return uids as they stand in names."""
    return frozenset(map(naming.digits, uids))


def belongs_to(leftover: Leftover, living: frozenset[str]) -> bool:
    """Return whether one of these uids, as `as_in_names` writes them, is its owner's."""
    return naming.digits(leftover.owner.incarnation or leftover.owner.vmclone_uid) in living
