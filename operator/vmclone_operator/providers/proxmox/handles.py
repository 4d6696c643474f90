"""What the ledger keeps of a VM between two calls: its id, where it was made, and the task that made it.

pve1/9101                    chosen, nothing written yet
pve1/9101 UPID:pve1:...:     a task was begun; its id is a hint, for the reply may be lost
=pve1/100                    borrowed: an administrator's template, never ours to change
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_FORM = re.compile(r"(?P<borrowed>=?)(?P<node>[A-Za-z0-9][A-Za-z0-9.-]*)/(?P<vmid>[1-9]\d{2,8})( (?P<upid>UPID:\S+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Handle:
    """One VM that we mean."""

    node: str
    """Where it was made; it may have moved since."""
    vmid: int
    upid: str = ""
    borrowed: bool = False

    def __str__(self) -> str:
        """Return it as the ledger keeps it."""
        head = f"{'=' if self.borrowed else ''}{self.node}/{self.vmid}"
        return f"{head} {self.upid}" if self.upid else head


def read(text: str) -> Handle | None:
    """Return what a handle means; None for an empty one, and for one that is none of ours."""
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    return Handle(
        node=found["node"], vmid=int(found["vmid"]), upid=found["upid"] or "", borrowed=bool(found["borrowed"])
    )
