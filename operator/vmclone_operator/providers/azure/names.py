"""What our resources are called, and the stamp in their tags. Pure.

Azure finds by name: every name follows from the clone's own or from the frozen point's token, so a reply that was
lost is looked for and found. Tags carry the whole stamp, on every resource: a tag's name can have no `/`, a
value at most 256 characters.

    clone dev-1-3f9a2c:   dev-1-3f9a2c, dev-1-3f9a2c-disk-0, -disk-1, -nic, -nsg
    frozen point 7d1f:    vmclone-<installation>-<uid of the VMClone>-7d1f, and -0, -1 for a snapshot of each disk
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import Owner, Stamp

INSTANCE = "vmclone-instance"
_NAMESPACE, _NAME, UID = "vmclone-namespace", "vmclone-name", "vmclone-uid"
_ORDINAL, INCARNATION, TOKEN = "vmclone-ordinal", "vmclone-incarnation", "vmclone-token"
MADE_FROM = "vmclone-made-from"
MADE = "vmclone-made"
"""On a VM that was complete once: a provisioning state is that of the last operation, whatever that was."""
LUN = "vmclone-lun"
"""On a snapshot: where its disk is in the source, -1 for the boot disk; clones have theirs at the same place."""
OFF = "vmclone-off"
"""On a snapshot: since when the source was off when it was asked for; empty when it ran."""
_LONGEST = 256
_PART = re.compile(r"-(nic|nsg|disk-[0-9]+)$")


def frozen_name(instance: str, vmclone_uid: str, token: str) -> str:
    """Return the name of a frozen point: of its collection, and what those of its snapshots begin with."""
    return f"vmclone-{naming.installation(instance)}-{naming.digits(vmclone_uid)}-{token}"


def disk_name(vm: str, number: int) -> str:
    """Return the name of a clone's disk; 0 is the boot disk."""
    return f"{vm}-disk-{number}"


def nic_name(vm: str) -> str:
    """Return the name of a clone's network interface."""
    return f"{vm}-nic"


def group_name(vm: str) -> str:
    """Return the name of the network security group that a clone is quarantined in."""
    return f"{vm}-nsg"


def clone_of_part(name: str) -> str:
    """Return the clone that a part belongs to by its name: dev-1-3f9a2c for dev-1-3f9a2c-nic."""
    return _PART.sub("", name)


def clone_tags(stamp: Stamp, token: str, made_from: str = "") -> dict[str, str]:
    """Return a clone's tags, the same on each of its resources."""
    return {
        INSTANCE: stamp.instance,
        _NAMESPACE: stamp.namespace,
        _NAME: stamp.vmclone,
        UID: stamp.vmclone_uid,
        _ORDINAL: str(stamp.ordinal),
        INCARNATION: stamp.incarnation,
        TOKEN: token,
        MADE_FROM: made_from[:_LONGEST],
    }


def users_tags(labels: Mapping[str, str]) -> dict[str, str]:
    """Return a user's labels as tags: `example.com/team` is `example.com_team`, for a tag's name can have no `/`.

    What Azure refuses as the name of a tag (`preflight` tells) is left out, and so is what begins as the stamp does.
    """
    return {_tag(label): value for label, value in sorted(labels.items()) if not is_refused_as_tag(label)}


def is_refused_as_tag(label: str) -> bool:
    """Tell whether a label can be no tag: those names are Azure's (tag-resources.md, "Limitations") or ours."""
    return _tag(label).lower().startswith(("microsoft", "azure", "windows", "vmclone-"))


def colliding_tags(labels: Mapping[str, str]) -> list[str]:
    """Return the labels that would be one tag with another one: a tag's name has no case and no `/`."""
    counted = Counter(_tag(label).lower() for label in labels)
    return sorted(label for label in labels if counted[_tag(label).lower()] > 1)


def _tag(label: str) -> str:
    return label.replace("/", "_")


def read_stamp(tags: Mapping[str, str] | None) -> tuple[Stamp, str] | None:
    """Return the stamp and the attempt's token; None when there is no whole stamp."""
    found = tags or {}
    try:
        stamp = Stamp(
            instance=found[INSTANCE],
            namespace=found[_NAMESPACE],
            vmclone=found[_NAME],
            vmclone_uid=found[UID],
            ordinal=int(found[_ORDINAL]),
            incarnation=found[INCARNATION],
        )
        token = found[TOKEN]
    except (KeyError, ValueError):
        return None
    whole = all((stamp.instance, stamp.vmclone_uid, stamp.incarnation, token))
    return (stamp, token) if whole else None  # an empty owner would match every owner


def without_stamp(tags: Mapping[str, str] | None) -> dict[str, str]:
    """Return the tags that are not ours."""
    return {name: value for name, value in (tags or {}).items() if not name.startswith("vmclone-")}


def frozen_tags(instance: str, vmclone_uid: str, token: str) -> dict[str, str]:
    """Return a frozen point's tags."""
    return {INSTANCE: instance, UID: vmclone_uid, TOKEN: token}


def is_frozen_of(tags: Mapping[str, str] | None, owner: Owner) -> bool:
    """Tell whether tags are those of a frozen point of this owner; a clone's name an incarnation as well."""
    found = tags or {}
    return (
        bool(found.get(TOKEN))
        and INCARNATION not in found
        and found.get(INSTANCE) == owner.instance
        and owner.vmclone_uid in {"", found.get(UID)}
    )
