"""One VM of the double: its config with what is pending, its snapshots, and whether it runs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from tests.doubles.pve.drives import drives
from tests.doubles.pve.refusals import Refused

Config = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class VM:
    """A VM and everything that its config file holds."""

    vmid: int
    node: str
    config: Config = field(default_factory=dict)
    """In force; GET config shows it with `pending` laid over it."""
    pending: Config = field(default_factory=dict)
    pending_delete: set[str] = field(default_factory=set)
    snapshots: dict[str, Config] = field(default_factory=dict)
    cloud_init: Config = field(default_factory=dict)
    """The keys that the cloud-init drive was last made from."""
    running: bool = False
    paused: bool = False
    started: float = 0
    pid: int = 0
    managed: bool = False
    """Whether HA looks after it."""
    seen: dict[str, Any] | None = None
    """What the last status round saw of it; None until the first round after it was made."""

    @property
    def lock(self) -> str:
        """Return the lock in its config."""
        return str(self.config.get("lock", ""))

    @property
    def template(self) -> bool:
        """Tell whether it is a template."""
        return bool(self.config.get("template"))

    @property
    def name(self) -> str:
        """Return its name, also where the config has none."""
        return str(self.config.get("name", f"VM {self.vmid}"))

    def merged(self) -> Config:
        """Return the config as it will be once everything pending is in force."""
        kept = {key: value for key, value in self.config.items() if key not in self.pending_delete}
        return {**kept, **self.pending}

    def digest(self) -> str:
        """Return the fingerprint of the config file."""
        held = [self.config, self.pending, sorted(self.pending_delete), self.snapshots]
        return hashlib.sha1(json.dumps(held, sort_keys=True, default=str).encode()).hexdigest()  # noqa: S324

    def check_lock(self) -> None:
        """Refuse to go on while the config carries a lock."""
        if self.lock:
            raise Refused(f"VM is locked ({self.lock})")

    def check_digest(self, given: str | None) -> None:
        """Refuse a change of a config that is not what the caller read; any wrong text reads the same."""
        if given and given != self.digest():
            raise Refused("checksum mismatch (file change by other user?)")

    def check_protection(self, what: str) -> None:
        """Refuse to take something away from a protected VM."""
        if self.config.get("protection"):
            raise Refused(f"{what} - protection mode enabled")

    def volumes(self) -> list[str]:
        """Return the ids of the volumes that the config and its snapshots use."""
        configs = [self.config, *self.snapshots.values()]
        return [drive.file for config in configs for drive in drives(config) if drive.owned]
