"""What is said to a clone's guest, and how its answers are read: the guest is never trusted.

Commands are constant POSIX shell scripts (`guest_scripts/`) for `BackendSession.guest_exec`; everything that
varies travels on their standard input. The order of a life: `PROBE` until booted (`RELEASE_NETWORK_WAIT` when
it waits for a network it cannot have), `identity_command`, `PROBE` until done, `identity_problems` empty.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Sequence

from vmclone_operator.domain.backend import GuestCommand
from vmclone_operator.domain.guest_answers import (
    GuestProbe,
    IdentityState,
    KnownIdentity,
    identity_problems,
    identity_reason,
    parse_probe,
)
from vmclone_operator.domain.guest_scrub import ScrubProgram, ScrubReport, ScrubRequest, ScrubState, scrub_problem
from vmclone_operator.domain.scripts import script

_TOKEN = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HOSTNAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_OWN_DISK = re.compile(r"[0-9a-z./]{1,200}|\*")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_PUBLIC_KEY = re.compile(r"((?:ssh-(?:ed25519|rsa)|ecdsa-sha2-nistp(?:256|384|521)) [A-Za-z0-9+/]+={0,3})(?: (.*))?")


def _identity_script() -> str:
    """Return the launcher with what it writes and starts inside, as one constant script."""
    return _writer("worker", "identity_worker") + _writer("scrub_posix", "scrub_posix") + script("identity_launch")


def _writer(file: str, name: str) -> str:
    """Return a function that writes a script, packed: guest channels take 64 KiB with everything in it."""
    end = f"END_OF_{file.upper()}"
    return f"write_{file}() {{\n  base64 -d <<'{end}' | gzip -dc >\"$run/{file}\"\n{_packed(script(name))}\n{end}\n}}\n"


def _packed(text: str) -> str:
    packer = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    return base64.b64encode(packer.compress(text.encode()) + packer.flush()).decode()


PROBE = GuestCommand(name="probe", script=script("probe"))
"""Reads how far the guest is; cheap while it boots, asks the running daemons once its identity is done."""

RELEASE_NETWORK_WAIT = GuestCommand(name="release-network-wait", script=script("release_network_wait"))
"""Ends the waits for a network that a quarantined boot never gets; harmless when there are none."""

_IDENTITY_SCRIPT = _identity_script()


def identity_command(
    *,
    token: str,
    hostname: str,
    user: str,
    authorized_keys: Sequence[str],
    scrub: ScrubRequest | None = None,
    needs_reboot: bool = False,
    keep_host_key: bool = False,
    own_disks: Sequence[str] = (),
) -> GuestCommand:
    """Return the command that starts the identity reset and returns at once; `PROBE` tells how it ends.

    Repeating it with the same token is free while the reset runs or is done. Without authorized keys the
    user's own stay as they are; with them, they are replaced. With a scrub, everybody's go first, and the
    identity is done only when the scrub found nothing left. With `keep_host_key` sshd keeps the ed25519 key that
    cloud-init was given. `own_disks` name the clone's disks (`ObservedClone.own_disks`): the scrub enters no other.
    """
    lines = [f"token={_checked(_TOKEN, token, 'token')}", f"hostname={_checked(_HOSTNAME, hostname, 'hostname')}"]
    if authorized_keys:
        lines.append(f"user={checked_user(user)}")
        lines += [f"key={checked_key(key)}" for key in authorized_keys]
    if needs_reboot:
        lines.append("needs_reboot=1")
    if keep_host_key:
        lines.append("keep_host_key=1")
    if scrub is not None:
        lines += scrub.parameter_lines()
        lines += [f"own_disk={_checked(_OWN_DISK, name, 'disk')}" for name in own_disks]
    return GuestCommand(name="identity", script=_IDENTITY_SCRIPT, stdin="\n".join([*lines, "end=1", ""]))


def _checked(pattern: re.Pattern[str], value: str, what: str) -> str:
    if not pattern.fullmatch(value):
        raise ValueError(f"{value!r} is no {what} that can be sent to a guest")
    return value


def checked_user(name: str) -> str:
    """Return a user's name that can be sent to a guest; raises ValueError for another."""
    return _checked(_USER, name, "user name")


def checked_key(line: str) -> str:
    """Return one authorized_keys line: type, key, and of the comment only what cannot do harm.

    Raises ValueError for what is no key.
    """
    found = _PUBLIC_KEY.fullmatch(line)
    if not found:
        raise ValueError("an authorized key must be one line: type, key and an optional comment")
    comment = "".join(letter for letter in found[2] or "" if letter.isascii() and letter.isprintable())
    return f"{found[1]} {comment}".rstrip()


__all__ = [
    "PROBE",
    "RELEASE_NETWORK_WAIT",
    "GuestProbe",
    "IdentityState",
    "KnownIdentity",
    "ScrubProgram",
    "ScrubReport",
    "ScrubRequest",
    "ScrubState",
    "checked_key",
    "checked_user",
    "identity_command",
    "identity_problems",
    "identity_reason",
    "parse_probe",
    "scrub_problem",
]
