"""Who may log in to a clone that exists: which keys are ours there, which are wanted, and what its guest is told.

A person's key is known by its fingerprint, as `ssh-keygen -l` prints it. The ledger has the fingerprints of all keys
of ours that may be in the clone, before they are, and in whose files; so a key that is wanted no more is taken out, and
one that somebody added by hand stays. Each change is written down before it is begun, also one that only takes keys
out: a list that comes back meanwhile is another change. Pure.

    wanted = Wanted(user="dev", keys=("ssh-ed25519 AAAA... alice",))
    next_of(access, wanted, ready=True)          # Change.RECORD, then Change.REPLACE, then Change.NONE
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from vmclone_operator.api.replica import AccessStatus
from vmclone_operator.domain.backend import GuestCommand
from vmclone_operator.domain.guest import checked_key, checked_user
from vmclone_operator.domain.scripts import script

SCRIPT = script("access_keys", "edit_keys")
_PREFIX = "SHA256:"
_DIGITS = 16
_SHOWN = 60
"""Letters of a key that a message shows."""
MOST = 96
"""Fingerprints that the ledger has room for: three whole lists that nobody could put into the clone meanwhile."""
MOST_USERS = 16
"""Users that it has room for beside the one of now; more were renamed before the reset of one clone."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The keys that may log in, and as whom; what names them is found out once: many clones are compared with it."""

    user: str = ""
    keys: tuple[str, ...] = ()

    @cached_property
    def digest(self) -> str:
        """Return a short name of exactly these keys, in whatever order; never empty."""
        text = "\n".join([self.user if self.keys else "", *sorted(self.fingerprints)])
        return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]

    @cached_property
    def fingerprints(self) -> tuple[str, ...]:
        """Return those of the keys, each once."""
        return tuple(dict.fromkeys(fingerprint(key) for key in self.keys))


class Change(StrEnum):
    """What comes next for the keys of a clone."""

    NONE = "None"
    WAIT = "Wait"
    """The clone cannot be told now."""
    RECORD = "Record"
    """The wanted keys go into the ledger before they go into the clone."""
    REPLACE = "Replace"
    TAKEN_BACK = "TakenBack"
    """A change that waited is wanted no more, and the clone still says that it waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysSituation:
    """What a decision about the keys rests on."""

    change: Change = Change.NONE
    pending: str = ""
    """Why the change waits; empty while nothing has to be told anew."""
    again_seconds: float | None = None
    """When to look again, where no event will say."""


def fingerprint(key: str) -> str:
    """Return the fingerprint of one authorized_keys line, `SHA256:...`.

    What is no key after all lets nobody in: it has a fingerprint of its own, which no guest will find. Every pass asks
    for those of all keys, so none is refused here.
    """
    words = key.split(" ")
    text = words[1] if len(words) > 1 else key
    try:
        blob = base64.b64decode(text, validate=True)
    except ValueError:  # no base64, or no ASCII
        blob = text.encode()
    return _PREFIX + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def malformed(keys: Sequence[str], field: str) -> str:
    """Return what is wrong with the first of the keys that no guest can be given, empty when all are well."""
    for number, key in enumerate(keys):
        try:
            checked_key(key)
        except ValueError:
            shown = key if len(key) <= _SHOWN else f"{key[: _SHOWN - 3]}..."
            return (
                f"{field}[{number}] is {shown!r}, which is no public key: write the line of the .pub file, which is its"
                " type, the key in base64 and an optional comment"
            )
    return ""


def begun(wanted: Wanted | None, before: AccessStatus | None = None) -> AccessStatus:
    """Return the record of a clone that is about to be made and will have these keys; without any it has them.

    `before` is that of an attempt whose seed may have been made: what it gave is forgotten once it is taken out. While
    nobody says which keys are wanted, none is given.
    """
    wanted = wanted or Wanted()
    if before is not None and before.keys:
        return resetting(before, wanted)
    return AccessStatus(user=wanted.user, keys=wanted.fingerprints, applied="" if wanted.keys else wanted.digest)


def resetting(access: AccessStatus | None, wanted: Wanted) -> AccessStatus:
    """Return the record before a seed or a reset that gives these keys to their user.

    What the user before was given stays in the file of that one, which neither touches.
    """
    access = access or AccessStatus(user=wanted.user)
    record = _with_keys(access, wanted)
    if not wanted.keys or not wanted.user:
        return record
    earlier = (*([access.user] if access.keys and access.user else []), *access.former_users)
    others = tuple(user for user in dict.fromkeys(earlier) if user != wanted.user)
    return record.model_copy(update={"user": wanted.user, "former_users": others[:MOST_USERS]})


def is_prepared(access: AccessStatus | None, wanted: Wanted | None) -> bool:
    """Return whether the ledger knows what a seed or a reset puts in, and for whom."""
    if wanted is None or not wanted.keys:
        return True
    if access is None:
        return False
    return set(wanted.fingerprints) <= set(access.keys) and access.user == resetting(access, wanted).user


def installed(access: AccessStatus | None, wanted: Wanted) -> AccessStatus:
    """Return the record of a clone that gets these keys with its identity, which takes all others of their user out.

    Without any the reset leaves those that are there, and always those of other users: what is of ours is taken out
    afterwards.
    """
    record = resetting(access or begun(wanted), wanted)
    alone = (bool(wanted.keys) or not record.keys) and not record.former_users
    return record.model_copy(update={"applied": wanted.digest if alone else ""})


def next_of(access: AccessStatus | None, wanted: Wanted | None, *, ready: bool) -> Change:
    """Return what comes next; `ready` when the clone's guest can be told.

    Without a record, or while nobody says which keys are wanted, nothing is touched.
    """
    if access is None or wanted is None or is_applied(access, wanted):
        return Change.NONE
    if not ready:
        return Change.WAIT
    known = access.pending == wanted.digest and set(wanted.fingerprints) <= set(access.keys)
    return Change.REPLACE if known else Change.RECORD


def is_applied(access: AccessStatus, wanted: Wanted) -> bool:
    """Return whether the clone has the wanted keys of ours and no other, for certain."""
    return access.applied == wanted.digest


def recorded(access: AccessStatus, wanted: Wanted) -> AccessStatus:
    """Return the record of a change that is about to be made: its keys beside those that may be there already."""
    return _with_keys(access, wanted).model_copy(update={"pending": wanted.digest})


def _with_keys(access: AccessStatus, wanted: Wanted) -> AccessStatus:
    keys = tuple(dict.fromkeys((*wanted.fingerprints, *access.keys)))[:MOST]
    # What was applied may be there no more, or not alone, from the call on that follows this record.
    update = {"keys": keys, "user": _owner(access, wanted), "applied": "", "pending": ""}
    return access.model_copy(update=update)


def _owner(access: AccessStatus, wanted: Wanted) -> str:
    """Return whose file keys of ours may be in; while none is, whose it is to be."""
    return (access.user if access.keys else "") or wanted.user or access.user


def replaced(access: AccessStatus, wanted: Wanted, *, now: str) -> AccessStatus:
    """Return the record of a clone that has exactly the wanted keys of ours."""
    return AccessStatus(
        user=access.user or wanted.user, keys=wanted.fingerprints, applied=wanted.digest, applied_time=now
    )


def refused(access: AccessStatus) -> AccessStatus:
    """Return the record after the clone refused a change: the next try is another one."""
    return access.model_copy(update={"attempts": access.attempts + 1, "pending": ""})


def unwritten(access: AccessStatus) -> AccessStatus:
    """Return the record of a change that is not the one that was written down: it is written down first."""
    return access.model_copy(update={"pending": ""})


def command(access: AccessStatus, wanted: Wanted) -> GuestCommand:
    """Return the command that puts the wanted keys in and takes out those of ours that are wanted no more.

    Raises ValueError for a user or a key that cannot be sent to a guest.
    """
    gone = [found for found in access.keys if found not in wanted.fingerprints]
    lines = [f"user={checked_user(access.user or wanted.user)}", *(f"drop={_hex(found)}" for found in gone)]
    lines += [f"key={checked_key(key)}" for key in wanted.keys]
    if access.former_users:
        lines += [f"former={checked_user(user)}" for user in access.former_users]
        lines += [f"ours={_hex(found)}" for found in access.keys]
    return GuestCommand(name="access-keys", script=SCRIPT, stdin="\n".join([*lines, "end=1", ""]))


def _hex(found: str) -> str:
    """Return a fingerprint as sha256sum prints it."""
    text = found.removeprefix(_PREFIX)
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True).hex()
