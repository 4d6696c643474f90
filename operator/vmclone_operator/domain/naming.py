"""Names and ids that are computed, never drawn: the same replica gets the same ones after any crash.

Before anything is destroyed they are computed again from the live object; what status says is not trusted.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping

_NAMESPACE = uuid.UUID("6f1c7a4e-6f0b-5f0e-9d7a-3f0c5a9f2b11")


def clone_uuid(incarnation: str) -> str:
    """Return the VM UUID of an incarnation: another incarnation never gets the same one."""
    return str(uuid.uuid5(_NAMESPACE, incarnation))


def mac_address(incarnation: str, index: int) -> str:
    """Return a locally administered MAC: `02:` and 40 hash bits, so that 4,800 NICs do not collide."""
    digest = hashlib.sha256(f"{incarnation}/nic/{index}".encode()).digest()[:5]
    return ":".join(f"{byte:02x}" for byte in (0x02, *digest))


def vm_name(session: str, incarnation: str) -> str:
    """Return the provider VM's name and hostname: `<session>-<6 hex of the incarnation>`."""
    return f"{session}-{digits(incarnation)[:6]}"


def installation(instance: str) -> str:
    """Return what tells the volumes of one operator installation from another's on the same host: 8 hex digits."""
    return hashlib.sha256(instance.encode()).hexdigest()[:8]


def volume_prefix(instance: str, incarnation: str) -> str:
    """Return what the names of all volumes of an incarnation begin with; it is their stamp."""
    return f"vmclone-{installation(instance)}-{digits(incarnation)}-"


def frozen_prefix(instance: str, vmclone_uid: str) -> str:
    """Return what the names of all frozen-point volumes of a VMClone begin with; it is their stamp."""
    return f"vmclone-base-{installation(instance)}-{digits(vmclone_uid)}-"


def replica_name(vmclone: str, ordinal: int) -> str:
    """Return the name of the VMCloneReplica object for an ordinal."""
    return f"{vmclone}-{ordinal}"


def numbered_session(prefix: str, ordinal: int) -> str:
    """Return the session of one of several replicas."""
    return f"{prefix}-{ordinal}"


def assign_sessions(recorded: Mapping[int, str], *, prefix: str, replicas: int) -> dict[int, str]:
    """Return the session of every ordinal up to `replicas`, and of every one that was ever recorded.

    A single replica is `<prefix>`, several are `<prefix>-N`. What is recorded never changes, so
    1 -> 3 replicas gives `dev`, `dev-2`, `dev-3`.
    """
    sessions = dict(recorded)
    for ordinal in range(1, replicas + 1):
        plain = replicas == 1 and not recorded
        sessions.setdefault(ordinal, prefix if plain else numbered_session(prefix, ordinal))
    return sessions


def digits(uid: str) -> str:
    """Return 32 hex digits for a Kubernetes uid, or for any other string by hash."""
    try:
        return uuid.UUID(uid).hex
    except ValueError:
        return hashlib.sha256(uid.encode()).hexdigest()[:32]
