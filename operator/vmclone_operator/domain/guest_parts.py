"""Cuts a command for a guest whose channel takes less than the command is long.

A Proxmox VE host before 8.4 takes 64 KiB with everything in it (libpve-http-server-perl before 5.2.1), a scrub with its
rules may be longer. The parts are sent one after the other; the last one's answer is the command's. Sending them again
does what sending the command again does.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib

from vmclone_operator.domain.backend import GuestCommand
from vmclone_operator.domain.scripts import script

_SCRIPT = script("part")
_OVERHEAD = 256
"""Bytes for what is neither script nor part: the line that names it, and what JSON puts around."""
LEAST = 4096
"""The smallest limit that can be kept."""


def in_parts(command: GuestCommand, limit: int) -> tuple[GuestCommand, ...]:
    """Return commands of at most `limit` bytes as JSON that together do what this one does; itself when it fits.

    Raises ValueError for a limit that is too small to be kept.
    """
    if limit < LEAST:
        raise ValueError(f"a guest channel of {limit} bytes is too narrow; it must take {LEAST}")
    if _as_json(command.script) + _as_json(command.stdin) + _OVERHEAD <= limit:
        return (command,)
    room = limit - _as_json(_SCRIPT) - _OVERHEAD
    scripts, inputs = _cut(command.script, room), _cut(command.stdin, room)
    digest = hashlib.sha256(f"{command.script}\0{command.stdin}".encode()).hexdigest()[:16]
    named = [("script", scripts), ("input", inputs)]
    return tuple(
        GuestCommand(
            name=command.name,
            script=_SCRIPT,
            stdin=f"{digest} {kind} {number} {len(scripts)} {len(inputs)}\n{part}\n",
        )
        for kind, parts in named
        for number, part in enumerate(parts, start=1)
    )


def _cut(text: str, room: int) -> list[str]:
    packer = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    packed = base64.b64encode(packer.compress(text.encode()) + packer.flush()).decode()
    return [packed[at : at + room] for at in range(0, len(packed), room)]


def _as_json(text: str) -> int:
    return len(json.dumps(text))
