"""Commands for a clone's guest that let the key of a home copy into a user's authorized_keys, and take it out again."""

from __future__ import annotations

import re

from vmclone_operator.domain.backend import GuestCommand
from vmclone_operator.domain.guest import checked_user
from vmclone_operator.domain.scripts import script

ALREADY_COPIED = 66
"""Exit code of `allow_copy`: this clone has its home, and people may have worked in it since."""
_INCARNATION = re.compile(r"[0-9A-Za-z-]{1,64}")
_SCRIPT = script("copy_access", "edit_keys")


def allow_copy(*, user: str, line: str, unless_copied: str = "") -> GuestCommand:
    """Return the command that lets the key of a copy in, in place of those of earlier copies.

    With `unless_copied` (an incarnation) it does nothing in a clone whose first copy was done: the guest
    remembers that, should our own record be lost.
    """
    if not line or "\n" in line or "\r" in line or not line.isascii():
        raise ValueError("the key of a copy must be one line of authorized_keys")
    unless = [f"unless={_checked(unless_copied)}"] if unless_copied else []
    return _command(user, *unless, f"line={line}")


def end_copies(*, user: str, copied: str = "") -> GuestCommand:
    """Return the command that takes the keys of all copies out, and records the incarnation that was `copied`."""
    return _command(user, *([f"copied={_checked(copied)}"] if copied else []))


def _checked(incarnation: str) -> str:
    if not _INCARNATION.fullmatch(incarnation):
        raise ValueError(f"{incarnation!r} is no incarnation that can be sent to a guest")
    return incarnation


def _command(user: str, *lines: str) -> GuestCommand:
    given = [f"user={checked_user(user)}", *lines, "end=1", ""]
    return GuestCommand(name="copy-access", script=_SCRIPT, stdin="\n".join(given))
