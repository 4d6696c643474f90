"""One copy's description, as the Job's Secret carries it to the relay; checked before anything is connected."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from vmclone_operator.homecopy.filters import checked_allow, checked_patterns

_USER = re.compile(r"[a-z_][a-z0-9_.-]{0,31}\$?")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,62}\.?){1,8}")
_HOST_KEY = re.compile(r"(ssh-(ed25519|rsa)|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/]{16,}={0,3}")
_STAMP = re.compile(r"[0-9A-Za-z-]{0,40}")


class Transfer(StrEnum):
    """How the bytes travel."""

    STREAM = "Stream"
    """rsync runs on the source, its ssh goes back through the relay to the clone."""
    STAGED = "Staged"
    """Pulled to a volume of the relay, then pushed; for sources that forbid forwarding."""


class OnSecret(StrEnum):
    """What a secret inside an ordinary file means."""

    SKIP = "Skip"
    FAIL = "Fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One end of the copy, with the host keys that are pinned for it."""

    address: str
    port: int
    user: str
    host_keys: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """Return it as the job's JSON has it."""
        return {"address": self.address, "port": self.port, "user": self.user, "hostKeys": list(self.host_keys)}


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyJob:
    """Everything that one copy needs but its keys."""

    source: Host
    clone: Host
    home: str = ""
    """The home's path on the source; empty means the user's own."""
    paths: tuple[str, ...] = (".",)
    excludes: tuple[str, ...] = ()
    """The owner's and the user's additional patterns."""
    allow: tuple[str, ...] = ()
    """The owner's exceptions from the floor."""
    on_secret: OnSecret = OnSecret.SKIP
    max_size_bytes: int = 0
    """0 means no limit."""
    bandwidth_kib: int = 0
    """Per second; 0 means no limit."""
    timeout_seconds: int = 4 * 3600
    refresh: str = ""
    """The time stamp of a refresh, which names its backup folder; empty for a first copy."""
    transfer: Transfer = Transfer.STREAM

    def document(self) -> dict[str, Any]:
        """Return the JSON that `parse_job` reads."""
        return {
            "source": self.source.document(),
            "clone": self.clone.document(),
            "home": self.home,
            "paths": list(self.paths),
            "excludes": list(self.excludes),
            "allow": list(self.allow),
            "onSecretFound": self.on_secret.value,
            "maxSizeBytes": self.max_size_bytes,
            "bandwidthKiB": self.bandwidth_kib,
            "timeoutSeconds": self.timeout_seconds,
            "refresh": self.refresh,
            "transfer": self.transfer.value,
        }


def parse_job(document: Mapping[str, Any]) -> CopyJob:
    """Return the job, or raise ValueError with a sentence that names the field."""
    job = CopyJob(
        source=_host(document["source"], "source"),
        clone=_host(document["clone"], "clone"),
        home=_home(document.get("home", "")),
        paths=tuple(_path(path) for path in document.get("paths", ["."])),
        excludes=checked_patterns(document.get("excludes", [])),
        allow=checked_allow(document.get("allow", [])),
        on_secret=OnSecret(document.get("onSecretFound", "Skip")),
        max_size_bytes=int(document.get("maxSizeBytes", 0)),
        bandwidth_kib=int(document.get("bandwidthKiB", 0)),
        timeout_seconds=int(document.get("timeoutSeconds", 4 * 3600)),
        refresh=_matched(_STAMP, document.get("refresh", ""), "refresh stamp"),
        transfer=Transfer(document.get("transfer", "Stream")),
    )
    if min(job.max_size_bytes, job.bandwidth_kib) < 0 or job.timeout_seconds < 1:
        raise ValueError("maxSizeBytes and bandwidthKiB must not be negative, timeoutSeconds must be positive")
    return job


def _host(document: Mapping[str, Any], which: str) -> Host:
    port = int(document["port"])
    keys = tuple(_matched(_HOST_KEY, key, f"host key of the {which}") for key in document["hostKeys"])
    if not 1 <= port <= 65535 or not keys:  # noqa: PLR2004  - the range of TCP ports
        raise ValueError(f"the {which} needs a port and at least one pinned host key")
    user = _matched(_USER, document["user"], f"user of the {which}")
    return Host(address=_address(document["address"], which), port=port, user=user, host_keys=keys)


def _address(text: str, which: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return _matched(_HOST, text, f"address of the {which}")


def _home(path: str) -> str:
    if path and (not path.startswith("/") or ".." in path.split("/") or "\0" in path):
        raise ValueError("home is an absolute path, or empty for the user's own")
    return path


def _path(path: str) -> str:
    if not path or path.startswith("/") or ".." in path.split("/") or "\0" in path:
        raise ValueError("paths are relative to the home and do not leave it")
    return path


def _matched(pattern: re.Pattern[str], text: str, what: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(f"{text[:80]!r} cannot be the {what}")
    return text
