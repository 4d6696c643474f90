"""What a clone's serial console says of a boot that takes too long: did the guest give up, or only not answer?

The guest belongs to others: what it wrote is data for people. It decides between two reasons and is shown in a
message, without escape sequences and in few words; nothing is done because of it.

Example: a console that ends with `Kernel panic - not syncing: VFS: Unable to mount root fs` is BootFailed; one that
ends with `dev-1 login:` belongs to a guest that booted and has no agent.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

MAX_RAW_CHARACTERS = 8 * 1024
"""How much of a console's end is looked at."""
MAX_LINES = 10
MAX_CHARACTERS = 512
"""How many of the last lines, and how much of them, people are shown."""

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\|$)"  # OSC, DCS and other strings
    r"|\x1b[ -/]*[0-~]"  # character sets and single functions
)
_SHAPES = (
    r"kernel panic - not syncing",
    r"you are in (?:emergency|rescue) mode|entering emergency mode|emergency shell",
    r"(?:press enter|give root password) for maintenance|cannot open access to console, the root account",
    r"failed to mount\b|unable to mount root fs|gave up waiting for (?:root|suspend)",
    r"not a bootable disk|no bootable (?:device|option|medium)",
    r"missing operating system|operating system not found",
    r"^grub(?: rescue)?>|^entering rescue mode",
    r"^\(initramfs\)|dropping to a shell",
    r"^dracut:/#|rdsosreport\.txt|dracut-initqueue.*(?:timeout|could not boot)",
)
"""A closed list of what kernel, boot loaders, firmware and systemd write when they go no further."""
_GAVE_UP = re.compile("|".join(_SHAPES), re.IGNORECASE)
_HIDDEN = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Mn", "Me", "Zl", "Zp"})
"""Unicode's categories of what is not a letter, digit, sign or blank."""
_LOGIN = re.compile(r"\blogin:(?: |$)")
_REMEDY = "mend it in the source, then delete this VMCloneReplica to rebuild it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Why a boot is overdue: a condition reason and a sentence."""

    reason: str
    message: str


def overdue_boot(console: str, vm_name: str) -> Verdict:
    """Return what to tell of a clone whose agent never answered, from the end of its console (empty: none heard)."""
    lines = console_lines(console)
    telling = _telling(lines)
    if telling is None:
        return Verdict(
            reason="GuestAgentMissing",
            message="the guest agent has not answered in time: the VM may not have booted (look at its console:"
            f" virsh console {vm_name}), or the guest agent is not there: install and enable qemu-guest-agent in the"
            " source, then delete this VMCloneReplica to rebuild it",
        )
    return Verdict(
        reason="BootFailed",
        message=f"the VM did not boot: {_REMEDY}; its console ends with: {' | '.join(_shown(lines, telling))}",
    )


def unfinished_boot(system_state: str) -> Verdict:
    """Return what to tell of a clone whose agent answers while its boot does not end."""
    return Verdict(
        reason="BootFailed",
        message=f"the guest agent answers, but the boot has not finished in time (systemd says {system_state}): look"
        f" at `systemctl list-jobs` and `cloud-init status --long` in the guest; {_REMEDY}",
    )


def console_lines(console: str) -> tuple[str, ...]:
    """Return the lines at a console's end that hold anything printable, oldest first."""
    plain = _ESCAPES.sub("", console[-MAX_RAW_CHARACTERS:])
    lines = (_printable(line) for line in re.split(r"[\r\n]+", plain))
    return tuple(line for line in lines if line)


def _printable(line: str) -> str:
    """Return a line without control characters, marks of direction, and what could not be decoded."""
    kept = (" " if char == "\t" else char for char in line if char == "\t" or _is_shown(char))
    return " ".join("".join(kept).split())


def _is_shown(char: str) -> bool:
    return unicodedata.category(char) not in _HIDDEN and char != "\N{REPLACEMENT CHARACTER}"


def _telling(lines: tuple[str, ...]) -> str | None:
    """Return the last line in which the guest gave up; None when there is none, or it came to a login after it."""
    for line in reversed(lines):
        if _GAVE_UP.search(line):
            return line
        if _LOGIN.search(line):
            return None
    return None


def _shown(lines: tuple[str, ...], telling: str) -> tuple[str, ...]:
    """Return the last lines that there is room for, the telling one before them when it is not among them."""
    last: list[str] = []
    room = MAX_CHARACTERS
    for line in reversed(lines[-MAX_LINES:]):
        cut = line[:room]
        room -= len(cut)
        if cut:
            last.insert(0, cut)
    if telling[:MAX_CHARACTERS] in last:
        return tuple(last)
    first = telling[: MAX_CHARACTERS // 2]
    while last and sum(map(len, last)) + len(first) > MAX_CHARACTERS:
        last.pop(0)
    return (first, *last[-(MAX_LINES - 1) :])
