"""Whose a VM is: a line in its description, which a clone carries from its very first config on.

    vmclone: clone of golden for team-a/dev, number 1. This line and the next belong together; do not edit them.
    vmclone-mark: {"kind": "clone", "instance": "...", ...}

The mark names its VM's id too: a copy that somebody makes of our VM carries the text, and is nobody's of ours. Tags
find our VMs in one list; they never prove anything, for a clone copies its source's. A description can be edited
in the web interface: a VM that lost its mark is nobody's, and is left alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum

from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import Owner, Stamp

_LINE = "vmclone-mark: "
ANY = "vmclone"
ANY_FROZEN_NAME = "vmclone-base-"
_STAMP_KEYS = frozenset({"instance", "namespace", "vmclone", "vmclone_uid", "ordinal", "incarnation"})


class MarkKind(StrEnum):
    """What a VM of ours is."""

    CLONE = "clone"
    FROZEN = "frozen"


@dataclass(frozen=True, slots=True, kw_only=True)
class CloneMark:
    """The mark of a clone."""

    stamp: Stamp
    token: str
    made_from: str = ""
    vmid: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenMark:
    """The mark of a frozen point; what was known when its copy began stands in it, for a restart forgets."""

    instance: str
    vmclone_uid: str
    token: str
    source_id: str
    fingerprint: str
    running: bool
    """Whether the source ran: then the copy is the source as it was at the end."""
    vmid: int = 0

    def belongs_to(self, owner: Owner, token: str) -> bool:
        """Tell whether it is that frozen point of that owner."""
        return (self.instance, self.vmclone_uid, self.token) == (owner.instance, owner.vmclone_uid, token)


Mark = CloneMark | FrozenMark


def description(mark: Mark) -> str:
    """Return the description of a VM of ours."""
    if isinstance(mark, CloneMark):
        about = f"a clone{f' of {mark.made_from}' if mark.made_from else ''}, made for {_for(mark.stamp)}"
        body: dict[str, object] = {"kind": MarkKind.CLONE.value, **asdict(mark.stamp), "token": mark.token}
        body |= {"made_from": mark.made_from, "vmid": mark.vmid}
    else:
        about = f"a frozen point of VM {mark.source_id}; clones stand on it"
        body = {"kind": MarkKind.FROZEN.value, **asdict(mark)}
    return (
        f"vmclone: {about}. Leave this text as it is: without it nobody knows whose this VM is.\n{_LINE}{_json(body)}"
    )


def _for(stamp: Stamp) -> str:
    return f"{stamp.namespace}/{stamp.vmclone}, number {stamp.ordinal}"


def _json(body: Mapping[str, object]) -> str:
    return json.dumps(body, sort_keys=True, separators=(",", ":"))


def read(config: Mapping[str, object], vmid: int) -> Mark | None:
    """Return the mark in a VM's description; None for none, for one that is not whole, and for another VM's.

    Whoever clones one of our VMs by hand, or restores its backup under another id, gets our text and tags with it.
    """
    mark = _read(config)
    return mark if mark is not None and mark.vmid in {0, vmid} else None


def is_copied(config: Mapping[str, object], vmid: int) -> bool:
    """Tell whether a VM has the mark of another one: it is a copy, whatever else of it is as ours."""
    mark = _read(config)
    return mark is not None and mark.vmid not in {0, vmid}


def _read(config: Mapping[str, object]) -> Mark | None:
    lines = [line for line in str(config.get("description", "")).split("\n") if line.startswith(_LINE)]
    if len(lines) != 1:
        return None
    try:
        body = json.loads(lines[0].removeprefix(_LINE))
        return _mark(body) if isinstance(body, dict) else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None  # whoever may edit a description may write anything into it


def _mark(body: dict[str, object]) -> Mark | None:
    kind = body.pop("kind")
    if kind == MarkKind.CLONE:
        stamp = Stamp(**{key: body[key] for key in _STAMP_KEYS})  # type: ignore[arg-type]
        texts = _STAMP_KEYS - {"ordinal"}
        if type(stamp.ordinal) is not int or not all(isinstance(body[key], str) for key in texts):
            return None
        vmid = int(str(body.get("vmid", 0)))
        return CloneMark(stamp=stamp, token=str(body["token"]), made_from=str(body.get("made_from", "")), vmid=vmid)
    if kind == MarkKind.FROZEN:
        known = {key: str(body[key]) for key in ("instance", "vmclone_uid", "token", "source_id", "fingerprint")}
        return FrozenMark(**known, running=bool(body["running"]), vmid=int(str(body.get("vmid", 0))))
    return None


def without(text: str) -> str:
    """Return a description without our two lines."""
    kept = [line for line in text.split("\n") if not line.startswith((_LINE, "vmclone: "))]
    return "\n".join(kept).strip()


def clone_tags(stamp: Stamp) -> frozenset[str]:
    """Return the tags of a finished clone."""
    return frozenset({ANY, instance_tag(stamp.instance), incarnation_tag(stamp.incarnation)})


def frozen_tags(instance: str) -> frozenset[str]:
    """Return the tags of a finished frozen point."""
    return frozenset({ANY, frozen_tag(instance)})


def instance_tag(instance: str) -> str:
    """Return the tag of all clones of an installation."""
    return f"vmclone-{naming.installation(instance)}"


def frozen_tag(instance: str) -> str:
    """Return the tag of all frozen points of an installation."""
    return f"vmclone-base-{naming.installation(instance)}"


def incarnation_tag(incarnation: str) -> str:
    """Return the tag of one clone."""
    return f"vmclone-{naming.digits(incarnation)}"


def frozen_name(vmclone_uid: str, token: str) -> str:
    """Return the name of a frozen point's VM: a DNS name, at most 63 characters."""
    return f"{frozen_prefix(vmclone_uid)}{naming.digits(token)[:12]}"


def frozen_prefix(vmclone_uid: str) -> str:
    """Return what the names of a VMClone's frozen points begin with."""
    return f"{ANY_FROZEN_NAME}{naming.digits(vmclone_uid)[:12]}-"


def seed_name(incarnation: str, instance: str) -> str:
    """Return the file name of a clone's seed; it is the file's stamp."""
    return f"{naming.volume_prefix(instance, incarnation)}seed.iso"
