"""Renders the clone's authorized_keys line for a copy: a key that can receive a home copy and do nothing else.

The check is a constant script inside the line itself, so that nothing has to be installed in the guest. It
accepts the words that our own rsync sends and refuses every other; a shell never sees the words again. Besides, it
runs one program that comes over the connection, the one whose SHA-256 it holds: what compares what arrived.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from vmclone_operator.homecopy.bundle import clone_program_digest

_PUBLIC_KEY = re.compile(r"(ssh-ed25519 [A-Za-z0-9+/]{40,}={0,2})(?: .*)?")
_MARK = re.compile(r"vmclone-home-copy-[0-9a-f]{8,64}")


@cache
def forced_command() -> str:
    """Return the constant command in one line."""
    script = files(__package__).joinpath("forced_command.sh").read_text(encoding="ascii")
    one_line = " ".join(line.strip() for line in script.splitlines())
    return f"/bin/sh -c '{one_line.replace('@digest@', clone_program_digest())}'"


def authorized_keys_line(public_key: str, *, mark: str) -> str:
    """Return the line; `mark` is its comment, by which exactly this line is found and removed again."""
    key = _PUBLIC_KEY.fullmatch(public_key.strip())
    if not key or not _MARK.fullmatch(mark):
        raise ValueError("a copy's key must be one ed25519 public key, its mark vmclone-home-copy-<hex>")
    command = forced_command().replace('"', '\\"')
    return f'restrict,command="{command}" {key[1]} {mark}'
