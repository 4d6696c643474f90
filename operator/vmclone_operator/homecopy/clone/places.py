"""Reads the list of system places: lines, of which those that begin with # say what becomes of the ones below.

#any                         what is there goes; of `/**` the folders stay
/etc/wireguard/**
#containing ^PrivateKey=     only files that hold it
/etc/systemd/network/*.netdev
"""

# Runs in the clone, on Python 3.6: no newer typing.
# ruff: noqa: UP006, UP035

from typing import List, NamedTuple


class Section(NamedTuple):
    """Patterns that share what becomes of them."""

    kind: str
    """any, files (folders stay), here (and no folders), emptied, older, containing, masked, searched or within."""
    argument: str
    """An expression, or the folders that `within` looks into."""
    patterns: List[str]


def sections(text: str) -> List[Section]:
    """Return what the list says, in its order."""
    found: List[Section] = []
    for line in text.splitlines():
        if line.startswith("#"):
            kind, _, argument = line[1:].partition(" ")
            found.append(Section(kind, argument, []))
        else:
            found[-1].patterns.append(line)
    return found
