"""What a clone's guest is told to scrub, checked before it travels, and what it may answer.

The program and its rules come from the home copy's filter, which the domain does not know: they are data here.
Everything travels as lines of `key=value`; programs and rules are packed, so that a line is a line.
"""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

_SCOPE = re.compile(r"[A-Za-z0-9.+-]{1,32}")
_UNIT = re.compile(r"[A-Za-z0-9@._:\\-]{1,200}\.(?:service|socket|timer|path|mount|automount|target|slice)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LITERAL = re.compile(r"[^*?\[\]]")
_SYSTEM_FOLDERS = re.compile(r"bin|boot|dev|etc|home|lib\w*|proc|root|run|sbin|sys|usr|var")
_LONGEST = 1024
_MOST = 256
_MOST_CHARACTERS = 128 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrubProgram:
    """What scrubs, and by which rules; the same for every clone of a release."""

    scope: str
    """The version of the rules."""
    program: str
    """Python 3.6 text that takes the parameter lines as `lines`."""
    rules: str
    """A JSON document for the program."""
    places: str = ""
    """The system places, as lines that both engines read."""
    posix_rules: str = ""
    """The rules as far as a guest without python3 can follow them, one `key=value` a line."""
    stop_units: tuple[str, ...] = ()
    """Unit patterns that are stopped first: they would write back what is scrubbed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrubRequest:
    """One clone's scrub: the built-in scope and what the source's owner adds to it."""

    program: ScrubProgram
    paths: tuple[str, ...] = ()
    """Absolute patterns of files and folders that go; `**` is any number of folders."""
    disable_units: tuple[str, ...] = ()
    """Units that are masked and stopped."""
    allow: tuple[str, ...] = ()
    """The owner's exceptions from the filter, in homes."""

    @property
    def digest(self) -> str:
        """Tells one request from another."""
        return hashlib.sha256("\n".join(self._lines()).encode(errors="surrogateescape")).hexdigest()[:16]

    def parameter_lines(self) -> list[str]:
        """Return the lines that travel; raises ValueError for what could not travel safely."""
        lines = [f"scrub={self.digest}", *self._lines()]
        if sum(map(len, lines)) > _MOST_CHARACTERS:
            raise ValueError("the scrub's parameters are too long to be sent to a guest")
        return lines

    def _lines(self) -> list[str]:
        if not _SCOPE.fullmatch(self.program.scope):
            raise ValueError(f"{self.program.scope!r} is no version of a scrub")
        if max(len(self.paths), len(self.disable_units), len(self.allow)) > _MOST:
            raise ValueError(f"at most {_MOST} paths, units or exceptions can be sent to a guest")
        return [
            f"scrub_scope={self.program.scope}",
            f"scrub_program={_packed(self.program.program)}",
            f"scrub_rules={_packed(self.program.rules)}",
            f"scrub_places={_packed(self.program.places)}",
            f"scrub_posix={_packed(self.program.posix_rules)}",
            *(_line("scrub_stop", unit) for unit in self.program.stop_units),
            *(f"scrub_mask={checked_unit(unit)}" for unit in self.disable_units),
            *(f"scrub_path={checked_path(path)}" for path in self.paths),
            *(_line("scrub_allow", pattern) for pattern in self.allow),
        ]


def checked_path(path: str) -> str:
    """Return the owner's pattern as it is; raises ValueError with a sentence that says what to write."""
    _line("path", path)
    parts = path.split("/")
    if not path.startswith("/") or {"", ".", ".."} & set(parts[1:]):
        raise ValueError(f"{path!r}: write an absolute path without . and .. and without a slash at its end")
    first, rest = parts[1], parts[2:]
    if re.search(r"[*?\[\]]", first):
        raise ValueError(f"{path!r}: name the first folder in full")
    if _SYSTEM_FOLDERS.fullmatch(first) and not any(_LITERAL.search(part) for part in rest):
        raise ValueError(f"{path!r} would take all of /{first}; name what is to be scrubbed in it")
    return path


def checked_unit(unit: str) -> str:
    """Return the name of a unit as it is; raises ValueError when it is none."""
    if not _UNIT.fullmatch(unit):
        raise ValueError(f"{unit!r} is no systemd unit; write its full name, such as gitlab-runner.service")
    return unit


def _line(key: str, value: str) -> str:
    if not value.strip() or len(value) > _LONGEST or _CONTROL.search(value):
        raise ValueError(f"{value[:80]!r} is no single line that can be sent to a guest")
    return f"{key}={value}"


@lru_cache(maxsize=8)
def _packed(text: str) -> str:
    """Return the text as gzip and base64 pack it; each pass asks for the same, and packing takes milliseconds."""
    packer = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    return base64.b64encode(packer.compress(text.encode(errors="surrogateescape")) + packer.flush()).decode()


class ScrubState(StrEnum):
    """How the scrub stands."""

    NONE = "None"
    """Not asked for, not started, or it died."""
    RUNNING = "Running"
    DONE = "Done"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrubReport:
    """What the guest says of its scrub."""

    state: ScrubState = ScrubState.NONE
    scope: str = ""
    request: str = ""
    """The digest of the request that it answers."""
    files: int = 0
    """Files that were overwritten and unlinked."""
    units: int = 0
    """Units that were masked."""
    left: int = 0
    """What a second look still found."""
    unverified: tuple[str, ...] = ()
    """File systems on which overwriting proves nothing, or which others see too."""
    left_alone: tuple[str, ...] = ()
    """Where file systems begin that lie on no disk of the clone's own; they were not entered."""
    engine: str = ""
    """`python`, or `posix` in a guest without python3: names and the main key shapes only."""
    discarded: bool = False
    """Whether the guest told its disks which blocks are free."""
    error: str = ""


NO_SCRUB = ScrubReport()
"""Of a guest that says nothing about one."""


def scrub_problem(report: ScrubReport, request: ScrubRequest) -> tuple[str, str] | None:
    """Return the condition reason and a sentence when this request's scrub is not proven, else nothing."""
    if (report.state, report.request, report.scope) != (ScrubState.DONE, request.digest, request.program.scope):
        detail = f": {report.error}" if report.error else ""
        return "ScrubUnverified", f"the guest did not finish its scrub{detail}"
    if report.left:
        return "ScrubUnverified", f"the scrub left {report.left} files that should have gone"
    if report.left_alone:
        places = ", ".join(report.left_alone)
        return (
            "ScrubUnverified",
            f"the scrub left {places} alone, on no disk of the clone's own: unmount it in the source",
        )
    if report.unverified:
        kinds = ", ".join(report.unverified)
        return "ScrubUnverified", f"overwriting proves nothing on {kinds}: old content may still be on the disk"
    return None
