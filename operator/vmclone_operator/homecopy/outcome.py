"""How a copy ended, in the reasons of the HomeCopied condition, and the receipt that tells it.

The receipt is the pod's termination message: at most 4 KiB of counts and names, never content.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from vmclone_operator.homecopy.filters import floor
from vmclone_operator.homecopy.job import CopyJob, OnSecret

RECEIPT_BYTES = 4096
_MESSAGE_BYTES = 1800
_NAMES = 20


class Ended(StrEnum):
    """The reasons a copy can end for."""

    COPIED = "Copied"
    HOST_KEY_MISMATCH = "HostKeyMismatch"
    SECRET_FOUND = "SecretFound"  # noqa: S105  - a condition's reason
    TOO_LARGE = "TooLarge"
    COPY_FAILED = "CopyFailed"
    INTERRUPTED = "Interrupted"


EXIT_CODES = {
    Ended.COPIED: 0,
    Ended.HOST_KEY_MISMATCH: 10,
    Ended.SECRET_FOUND: 11,
    Ended.TOO_LARGE: 12,
    Ended.COPY_FAILED: 13,
    Ended.INTERRUPTED: 14,
}
"""What the pod exits with. Only Interrupted is worth another try without a change."""

_HOST_KEY_WORDS = ("host key verification failed", "host identification has changed", "host key is known for")
_FORWARD_WORDS = ("remote port forwarding failed", "administratively prohibited")
_REFUSAL_WORDS = ("vmclone: ", "permission denied (")
_RSYNC_CUT = {10, 12, 20, 30, 35, 255, -15, -9, -13}
_RSYNC_THROUGH = {0, 23, 24}
"""It came to its end: with 23 and 24 it left something out."""
_CONNECTION_CUT = {255, -15, -9}
_SAY_NOTHING = ("rsync error:", "rsync: connection unexpectedly", "Allocated port ", "*** Skipping")
_LEAST_FREE_BYTES = 1024 * 1024
_LEAST_FREE_FILES = 8
_NAME_LETTERS = 160
_FOUND = 3
_FOUND_LETTERS = 120
_RULE_LETTERS = 40
_SKIPPED = {
    "Vanished": "that went while the home was read or sent",
    "Changed": "that turned into something else or never stood still",
    "Unreadable": "that the user may not read: let them, or leave them out with excludes",
    "TooDeep": "nested deeper than rsync goes: move them up, or pack them",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The end of one attempt."""

    ended: Ended
    message: str = ""
    counts: Mapping[str, Any] = field(default_factory=dict)
    """What the scan counted; empty when it never came to that."""
    sent_bytes: int = 0

    @property
    def exit_code(self) -> int:
        """The pod's exit code."""
        return EXIT_CODES[self.ended]


class CopyEnded(Exception):  # noqa: N818  - named for what happened
    """Ends a copy wherever it is; carries how."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.message)
        self.outcome = outcome


def refusal(job: CopyJob, counts: Mapping[str, Any]) -> Outcome | None:
    """Return why the scanned home is not copied at all, or nothing."""
    if job.max_size_bytes and counts["bytes"] > job.max_size_bytes:
        message = f"the home has {counts['bytes']} bytes to copy, more than maxSize ({job.max_size_bytes})"
        return Outcome(ended=Ended.TOO_LARGE, message=message, counts=counts)
    hits = counts["excluded"].get("content", 0)
    if job.on_secret is OnSecret.FAIL and hits:
        message = (
            f"{hits} ordinary files hold secrets{_named(counts.get('found', ()), hits)}; move these out of the copied"
            " paths, name them in excludes, or set onSecretFound: Skip, with which they stay behind"
        )
        return Outcome(ended=Ended.SECRET_FOUND, message=message, counts=counts)
    return None


def _named(found: Sequence[Mapping[str, str]], hits: int) -> str:
    """Return the first files, each with the rule that found something in it; never what it found."""
    told = [f"{_shortened(entry['path'])} ({printable(entry['rule'])[:_RULE_LETTERS]})" for entry in found[:_FOUND]]
    if not told:
        return ""
    more = f" and {hits - len(told)} more" if hits > len(told) else ""
    return f": {', '.join(told)}{more}"


def _shortened(path: str) -> str:
    """Return a path, of a long one the end, which tells most."""
    text = printable(path)
    return text if len(text) <= _FOUND_LETTERS else f"...{text[-_FOUND_LETTERS:]}"


def failure_of_rsync(code: int, stderr: str) -> Outcome | None:
    """Return what rsync's exit means; nothing when only the clone can say whether anything is missing."""
    if code in _RSYNC_THROUGH:
        return None
    if _mentions(stderr, _HOST_KEY_WORDS):
        ended, message = Ended.HOST_KEY_MISMATCH, "the clone's host key is not the pinned one"
    elif code in _RSYNC_CUT and not _mentions(stderr, _REFUSAL_WORDS):
        ended, message = Ended.INTERRUPTED, f"the copy was cut (rsync {code}): {last_line(stderr)}"
    else:
        ended, message = Ended.COPY_FAILED, f"rsync {code}: {last_line(stderr)}"
    return Outcome(ended=ended, message=message)


def disk_full(space: Mapping[str, Any], counts: Mapping[str, Any]) -> Outcome | None:
    """Return that the clone's disk is full, by what the clone says is free on it; or nothing."""
    out_of_files = int(space["files"]) > 0 and int(space["freeFiles"]) < _LEAST_FREE_FILES
    if int(space["freeBytes"]) >= _LEAST_FREE_BYTES and not out_of_files:
        return None
    what = f"{space['freeFiles']} inodes" if out_of_files else f"{space['freeBytes']} bytes"
    message = (
        f"the clone's disk is full: {what} are free in its home, of {counts['bytes']} bytes in {counts['files']} files"
        " to copy; give the clone a larger disk, or leave something out with paths or extraExcludes"
    )
    return Outcome(ended=Ended.COPY_FAILED, message=message)


def outcome_of_ssh(code: int, stderr: str) -> Outcome:
    """Return what the end of the connection to the source means when no answer came over it."""
    if _mentions(stderr, _HOST_KEY_WORDS):
        return Outcome(ended=Ended.HOST_KEY_MISMATCH, message="the source's host key is not the pinned one")
    if _mentions(stderr, _FORWARD_WORDS):
        message = "the source refuses forwarding; its owner can set home.transfer: Staged"
        return Outcome(ended=Ended.COPY_FAILED, message=message)
    if "permission denied (" in stderr.lower():
        return Outcome(ended=Ended.COPY_FAILED, message="the source refuses our key")
    if code in _CONNECTION_CUT:
        message = f"the connection to the source ended ({code}): {last_line(stderr)}"
        return Outcome(ended=Ended.INTERRUPTED, message=message)
    return Outcome(ended=Ended.COPY_FAILED, message=f"{_shell_ended('source', code)}: {last_line(stderr)}")


def outcome_of_clone(code: int, stderr: str) -> Outcome:
    """Return what the end of our own connection to the clone means."""
    if _mentions(stderr, _HOST_KEY_WORDS):
        return Outcome(ended=Ended.HOST_KEY_MISMATCH, message="the clone's host key is not the pinned one")
    if "permission denied (" in stderr.lower():
        return Outcome(ended=Ended.COPY_FAILED, message="the clone refuses the key of this copy")
    if code in _CONNECTION_CUT:
        return Outcome(ended=Ended.INTERRUPTED, message=f"the connection to the clone ended: {last_line(stderr)}")
    return Outcome(ended=Ended.COPY_FAILED, message=f"{_shell_ended('clone', code)}: {last_line(stderr)}")


def _shell_ended(where: str, code: int) -> str:
    return (
        f"the {where}'s login shell or our program there ended with {code}; look in ~/.bashrc and ~/.bash_logout of the"
        f" {where} for an exit or exec that is meant for terminals only, and whether a command is forced on the login"
        " (ForceCommand in sshd_config, command= in authorized_keys, a login shell that lets nobody in)"
    )


def what_is_missing(counts: Mapping[str, Any]) -> str:
    """Return a sentence on what was not copied although no rule keeps it back; empty when there is nothing."""
    skipped, first = counts.get("skipped", {}), counts.get("first", {})
    told = [
        f"{number} {_SKIPPED.get(why, why)} (first: {printable(str(first.get(why, '')))[:_NAME_LETTERS]})"
        for why, number in sorted(skipped.items())
        if number
    ]
    return f"not copied: {'; '.join(told)}" if told else ""


def receipt(outcome: Outcome, job: CopyJob | None) -> str:
    """Return the receipt as JSON of at most 4 KiB; names give way first, counts never. No job: it was refused."""
    counts = outcome.counts
    document: dict[str, Any] = {
        "reason": outcome.ended.value,
        "message": _of_bytes(printable(outcome.message), _MESSAGE_BYTES),
        "filter": {"version": floor().version, "digest": floor().digest},
        **({"transfer": job.transfer.value} if job else {}),
        "sentBytes": outcome.sent_bytes,
    }
    plain = (
        "files",
        "directories",
        "symlinks",
        "bytes",
        "special",
        "unreadable",
        "excluded",
        "skipped",
        "allowedCount",
    )
    document |= {key: counts[key] for key in plain if key in counts}
    for names in range(_NAMES, -1, -1):
        short = {key: counts.get(key, [])[:names] for key in ("allowed", "otherFileSystems")}
        text = _written(document | short)
        if len(text.encode()) <= RECEIPT_BYTES:
            return text
    return _written(document)


def _written(document: Mapping[str, Any]) -> str:
    """Return JSON in which a letter is a letter: escaped, a name in another script is up to three times as long."""
    return json.dumps(document, sort_keys=True, ensure_ascii=False)


def _of_bytes(text: str, most: int) -> str:
    return text.encode("utf-8", "backslashreplace")[:most].decode("utf-8", "ignore")


def printable(text: str) -> str:
    """Return the text of a stranger without control characters."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _mentions(text: str, words: tuple[str, ...]) -> bool:
    lowered = text.lower()
    return any(word in lowered for word in words)


def last_line(text: str) -> str:
    """Return the complaint that says most: the last that is not rsync's own closing line."""
    lines = printable_lines(text)
    telling = [line for line in lines if not line.startswith(_SAY_NOTHING)]
    return (telling or ["no reason given"])[-1]


def printable_lines(text: str) -> list[str]:
    """Return the non-empty lines without control characters."""
    return [printable(line).strip() for line in text.splitlines() if line.strip()]
