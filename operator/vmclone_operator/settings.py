"""The operator's settings, read once from flags and environment in `main`; nobody else reads either."""

from __future__ import annotations

import argparse
import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that may differ between installations."""

    namespace: str
    """The operator's own namespace: its Lease and the credential Secrets live there."""
    identity: str
    """This process, in the Lease."""
    instance: str
    """What stamps carry; empty means the uid of the namespace."""
    workers: int
    resync_seconds: float
    relist_seconds: float
    allow_fake: bool
    """Whether CloneBackends of kind fake may be used: for tests and benchmarks."""
    log_level: str


def read_settings(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Return the settings; a flag beats its environment variable (VMCLONE_...)."""
    parser = argparse.ArgumentParser(prog="vmclone-operator", description="Keeps VMClones true.")
    for flag, default, meaning in _FLAGS:
        variable = "VMCLONE_" + flag.replace("-", "_").upper()
        parser.add_argument(f"--{flag}", default=environment.get(variable, default), help=f"{meaning} [{variable}]")
    parser.add_argument("--allow-fake", action="store_true", help="allow CloneBackends of kind fake (tests only)")
    given = parser.parse_args(arguments)
    return Settings(
        namespace=given.namespace,
        identity=given.identity,
        instance=given.instance,
        workers=int(given.workers),
        resync_seconds=float(given.resync_seconds),
        relist_seconds=float(given.relist_seconds),
        allow_fake=given.allow_fake,
        log_level=given.log_level,
    )


_FLAGS = (
    ("namespace", "vmclone-system", "the operator's own namespace"),
    ("identity", f"{socket.gethostname()}-{os.getpid()}", "this process, as the Lease names it"),
    ("instance", "", "what stamps carry; default: uid of the namespace"),
    ("workers", "16", "passes that run side by side"),
    ("resync-seconds", "300", "seconds between two comparisons with the backends"),
    ("relist-seconds", "600", "seconds between two live lists"),
    ("log-level", "INFO", "DEBUG, INFO, WARNING or ERROR"),
)
