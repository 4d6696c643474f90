"""How a copy ended, in the reasons of the HomeCopied condition, and the receipt that tells it.

The receipt is the pod's termination message: at most 4 KiB of counts and names, never content.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from vmclone_operator.homecopy.filters import floor
from vmclone_operator.homecopy.job import CopyJob, OnSecret

RECEIPT_BYTES = 4096
_MESSAGE_LETTERS = 800
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
_RSYNC_VANISHED = 24
_SSH_FAILED = 255


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


def refusal(job: CopyJob, counts: Mapping[str, Any]) -> Outcome | None:
    """Return why the scanned home is not copied at all, or nothing."""
    if job.max_size_bytes and counts["bytes"] > job.max_size_bytes:
        message = f"the home has {counts['bytes']} bytes to copy, more than maxSize ({job.max_size_bytes})"
        return Outcome(ended=Ended.TOO_LARGE, message=message, counts=counts)
    hits = counts["excluded"].get("content", 0)
    if job.on_secret is OnSecret.FAIL and hits:
        message = (
            f"{hits} ordinary files hold secrets; move these out of the copied paths, name them in excludes, or set"
            " onSecretFound: Skip, with which they stay behind"
        )
        return Outcome(ended=Ended.SECRET_FOUND, message=message, counts=counts)
    return None


def outcome_of_rsync(code: int, stderr: str, *, counts: Mapping[str, Any], sent_bytes: int) -> Outcome:
    """Return what rsync's exit means."""
    if code == 0 or (code == _RSYNC_VANISHED and not stderr.count("rsync error")):
        ended, message = Ended.COPIED, ""
    elif code == _RSYNC_VANISHED:
        ended, message = Ended.COPIED, "some files vanished while they were copied"
    elif _mentions(stderr, _HOST_KEY_WORDS):
        ended, message = Ended.HOST_KEY_MISMATCH, "the clone's host key is not the pinned one"
    elif code in _RSYNC_CUT and not _mentions(stderr, _REFUSAL_WORDS):
        ended, message = Ended.INTERRUPTED, f"the copy was cut (rsync {code}): {_last_line(stderr)}"
    else:
        ended, message = Ended.COPY_FAILED, f"rsync {code}: {_last_line(stderr)}"
    return Outcome(ended=ended, message=message, counts=counts, sent_bytes=sent_bytes)


def outcome_of_ssh(code: int, stderr: str) -> Outcome:
    """Return what the end of the connection to the source means when no answer came over it."""
    if _mentions(stderr, _HOST_KEY_WORDS):
        return Outcome(ended=Ended.HOST_KEY_MISMATCH, message="the source's host key is not the pinned one")
    if _mentions(stderr, _FORWARD_WORDS):
        message = "the source refuses forwarding; its owner can set home.transfer: Staged"
        return Outcome(ended=Ended.COPY_FAILED, message=message)
    if "permission denied" in stderr.lower():
        return Outcome(ended=Ended.COPY_FAILED, message="the source refuses our key")
    ended = Ended.INTERRUPTED if code in {_SSH_FAILED, -15, -9} else Ended.COPY_FAILED
    return Outcome(ended=ended, message=f"the connection to the source ended ({code}): {_last_line(stderr)}")


def receipt(outcome: Outcome, job: CopyJob | None) -> str:
    """Return the receipt as JSON of at most 4 KiB; names give way first, counts never. No job: it was refused."""
    counts = outcome.counts
    document: dict[str, Any] = {
        "reason": outcome.ended.value,
        "message": printable(outcome.message)[:_MESSAGE_LETTERS],
        "filter": {"version": floor().version, "digest": floor().digest},
        **({"transfer": job.transfer.value} if job else {}),
        "sentBytes": outcome.sent_bytes,
    }
    plain = ("files", "directories", "symlinks", "bytes", "special", "unreadable", "excluded", "allowedCount")
    document |= {key: counts[key] for key in plain if key in counts}
    for names in range(_NAMES, -1, -1):
        short = {key: counts.get(key, [])[:names] for key in ("allowed", "otherFileSystems")}
        text = json.dumps(document | short, sort_keys=True)
        if len(text.encode()) <= RECEIPT_BYTES:
            return text
    return json.dumps(document, sort_keys=True)


def printable(text: str) -> str:
    """Return the text of a stranger without control characters."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _mentions(text: str, words: tuple[str, ...]) -> bool:
    lowered = text.lower()
    return any(word in lowered for word in words)


def _last_line(text: str) -> str:
    """Return the complaint that says most: the last that is not rsync's own closing line."""
    lines = printable_lines(text)
    telling = [line for line in lines if not line.startswith(("rsync error:", "rsync: connection unexpectedly"))]
    return (telling or lines or ["no reason given"])[-1]


def printable_lines(text: str) -> list[str]:
    """Return the non-empty lines without control characters."""
    return [printable(line).strip() for line in text.splitlines() if line.strip()]
