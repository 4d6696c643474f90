"""Tells files that hold only what is public from those in which something public stands beside what may be a secret.

A certificate or a public key clears itself and not the file. Outside of it, a file of a name that says what is in it
(`*.pem`) may hold text, as certificates often have above them, but nothing that is called a password. Any other file
may hold no value at all: `ca: |` may stand above a certificate, `password: x` may not.
"""

# Runs on the source, on Python 3.6: no newer typing.
# ruff: noqa: UP006, UP035, UP045

import re
from typing import FrozenSet, List, Optional

_BEGIN = re.compile(rb"-----? ?BEGIN ([A-Z0-9 ]{1,40}?) ?-----?")
_TEXT_FOLLOWS = b"PGP SIGNED MESSAGE"
_BLANKS = bytes.maketrans(b"\0\r\t", b"\n  ")
_CERTIFICATE = re.compile(rb"0([\x81-\x83]).{1,3}?0[\x81-\x83].{1,3}?\xa0\x03\x02\x01[\x00-\x02]", re.DOTALL)
_NAMED = re.compile(
    rb"(?:pass|pwd|secret|token|cred|api[-_]?key)[A-Za-z0-9_.-]{0,40}[\"']? {0,40}[:=] {0,40}[^ \n]|---- ?BEGIN",
    re.IGNORECASE,
)
_SIGNS = rb"(?:[] \"'|>{}[,;&()+-]|\\[nrt])*"
_WITHOUT_VALUE = re.compile(_SIGNS + rb"(?:[A-Za-z0-9_][A-Za-z0-9_.-]*[ \"']*[:=]" + _SIGNS + rb")*\Z")


def is_only_public(data: bytes, labels: FrozenSet[bytes], *, armoured: bool) -> bool:
    """Return whether there is something public in a file, and nothing besides that its name does not promise."""
    if armoured and _is_certificate(data):
        return True
    rest = _outside(data, labels)
    if rest is None:
        return False
    text = rest.translate(_BLANKS)
    return not _NAMED.search(text) if armoured else all(_WITHOUT_VALUE.match(line) for line in text.split(b"\n"))


def _is_certificate(data: bytes) -> bool:
    """Return whether a file is one certificate in DER, whose first bytes say how long it is."""
    found = _CERTIFICATE.match(data)
    if not found:
        return False
    digits = found.group(1)[0] & 0x7F
    return len(data) <= 2 + digits + int.from_bytes(data[2 : 2 + digits], "big")


def _outside(data: bytes, labels: FrozenSet[bytes]) -> Optional[bytes]:
    """Return what stands outside of armour; nothing when there is none, when it is private, or does not end."""
    parts: List[bytes] = []
    at = 0
    found = _BEGIN.search(data)
    if not found:
        return None
    while found is not None:
        label = found.group(1).strip()
        if label not in labels:
            return None
        parts.append(data[at : found.start()])
        at = found.end()
        if label != _TEXT_FOLLOWS:
            end = data.find(b"END " + label, at)
            if end < 0:
                return None
            at = end + 4 + len(label)
        found = _BEGIN.search(data, at)
    return b"".join(parts) + data[at:]
