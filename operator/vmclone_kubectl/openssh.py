"""Command lines for OpenSSH whose host keys come from status, so that nobody has to trust a first connection. Pure.

A clone's keys are written under its session, which `HostKeyAlias` makes ssh look for: the address may change, the key
may not.

    ssh -o HostKeyAlias=dev-2 ...  finds in known_hosts:  dev-2 ssh-ed25519 AAAA...
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vmclone_kubectl import documents
from vmclone_kubectl.documents import Document
from vmclone_kubectl.kubectl import KubectlError

_SESSION_PATH = re.compile(r"^(?P<session>[a-z](?:[-a-z0-9]*[a-z0-9])?):(?P<path>.*)$")
_USER = re.compile(r"^[a-z_][a-z0-9_-]{0,31}$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A clone to log in to."""

    session: str
    address: str
    host_keys: tuple[str, ...]
    user: str
    options: tuple[str, ...] = ()
    """More options of OpenSSH, as `Port=2222`. The first value of an option counts, so these cannot loosen ours."""


def target(replica: Document, user: str, more: Sequence[str] = ()) -> Target:
    """Return how to reach a clone. Raises KubectlError with what is missing."""
    session = str(replica["spec"]["session"])
    guest = documents.status(replica).get("guest") or {}
    address = documents.first_address(replica)
    if not address or not guest.get("sshHostKeys"):
        raise KubectlError(f"{session} is not ready to log in to: it has no address or no host key yet")
    if not _USER.match(user):
        raise KubectlError(f"{session}: the user {user!r} is no login name; name one with --user")
    return Target(
        session=session, address=address, host_keys=tuple(guest["sshHostKeys"]), user=user, options=tuple(more)
    )


def known_hosts(targets: Iterable[Target]) -> str:
    """Return the file that pins the keys of these clones."""
    return "".join(f"{target.session} {key}\n" for target in targets for key in target.host_keys)


def options(target: Target, known_hosts_file: str) -> list[str]:
    """Return the options that ssh and scp share for one clone."""
    ours = (
        f"HostKeyAlias={target.session}",
        f"UserKnownHostsFile={known_hosts_file}",
        "GlobalKnownHostsFile=none",
        "StrictHostKeyChecking=yes",
    )
    return [word for option in (*ours, *target.options) for word in ("-o", option)]


def login(target: Target, known_hosts_file: str, command: Sequence[str] = ()) -> list[str]:
    """Return the command line of a login, or of one command there; its words arrive as they are."""
    remote = [shlex.join(command)] if command else []
    return ["ssh", *options(target, known_hosts_file), f"{target.user}@{target.address}", *remote]


def copy(target: Target, known_hosts_file: str, words: Sequence[str]) -> list[str]:
    """Return the command line of a copy; `SESSION:PATH` becomes the clone's address."""
    places = [_place(target, word) for word in words]
    return ["scp", *options(target, known_hosts_file), "-r", "--", *places]


def session_in(words: Sequence[str]) -> str:
    """Return the one session that `SESSION:PATH` words name. Raises KubectlError when there is none, or two."""
    sessions = {match["session"] for word in words if (match := _SESSION_PATH.match(word))}
    if len(sessions) != 1:
        raise KubectlError("name one clone as SESSION:PATH, and local paths for the rest")
    return sessions.pop()


def _place(target: Target, word: str) -> str:
    match = _SESSION_PATH.match(word)
    if match is None:
        return word
    host = f"[{target.address}]" if ":" in target.address else target.address
    return f"{target.user}@{host}:{match['path']}"
