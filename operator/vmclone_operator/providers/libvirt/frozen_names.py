"""Names of frozen-point volumes: they alone prove, after any restart, whose and of which kind a point is."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass

from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import Consistency, FreezeIntent, Owner

_WORDS = {
    Consistency.QUIESCED: "quiesced",
    Consistency.CRASH_CONSISTENT: "crash",
    Consistency.POWERED_OFF: "off",
}
_KINDS = {word: consistency for consistency, word in _WORDS.items()}
_NAME = re.compile(r"vmclone-base-([0-9a-f]{8})-([0-9a-f]{32})-(.+)-([a-z0-9]+)\.(quiesced|crash|off)\.qcow2")


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenVolume:
    """One disk of a frozen point, as its volume's name tells."""

    name: str
    installation: str
    """Whose operator made it: `naming.installation`."""
    vmclone_uid: str
    """As Kubernetes writes it; for a uid that is no UUID, the hash that stands for it."""
    token: str
    target: str
    consistency: Consistency


def frozen_volume_name(owner: Owner | FreezeIntent, token: str, target: str, consistency: Consistency) -> str:
    """Return the name of the volume that holds one disk of a frozen point."""
    return f"{naming.frozen_prefix(owner.instance, owner.vmclone_uid)}{token}-{target}.{_WORDS[consistency]}.qcow2"


def parse_name(name: str) -> FrozenVolume | None:
    """Read a volume's name; None when it is no frozen-point volume."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    return FrozenVolume(
        name=name,
        installation=match[1],
        vmclone_uid=str(uuid.UUID(match[2])),
        token=match[3],
        target=match[4],
        consistency=_KINDS[match[5]],
    )
