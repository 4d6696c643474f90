"""Finds key shapes in texts in as few readings of a text as can be: scanning is most of what a copy costs.

Every shape has anchors, of which one is in whatever it matches. Anchors with the same first letter are looked for
in one reading, and hardly any text holds one, so the shapes themselves are seldom tried.
"""

# Runs on the source, on Python 3.6: no newer typing.
# ruff: noqa: UP006, UP035, UP045

import re
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Pattern

_SNIFF_BYTES = 8192
_MARKS = (b"\xff\xfe", b"\xfe\xff")
_LETTERS = bytes(range(32, 127)) + b"\t\n\f\r\x1b"
_LEAST_ZEROS = 8


class Signature(NamedTuple):
    """One key shape."""

    name: str
    anchors: List[bytes]
    pattern: Pattern[bytes]


class Reading(NamedTuple):
    """One reading of a text, and the shapes that are only possible when it finds something."""

    finds: Callable[[bytes], Any]
    signatures: List[Signature]


class Signatures:
    """All key shapes, asked about one file's bytes at a time."""

    def __init__(self, documents: List[Dict[str, Any]]) -> None:
        signatures = [_signature(document) for document in documents]
        anchors = sorted({anchor for signature in signatures for anchor in signature.anchors})
        firsts = sorted({anchor[:1] for anchor in anchors})
        self._readings = [_reading([a for a in anchors if a[:1] == first], signatures) for first in firsts]

    def found_in(self, data: bytes) -> Optional[str]:
        """Return the name of a key shape in a text; binary files have none that could be told apart."""
        text = _text(data)
        if not text:
            return None
        for finds, signatures in self._readings:
            if not finds(text):
                continue
            for name, anchors, pattern in signatures:
                if any(anchor in text for anchor in anchors) and pattern.search(text):
                    return name
        return None


def is_binary(head: bytes) -> bool:
    """Return whether a file that begins so is no text; zeros alone do not make it none, nor do 16 bits a letter."""
    if b"\0" not in head or _wide(head):
        return False
    letters = head[:_SNIFF_BYTES].replace(b"\0", b"")
    return not letters or 10 * len(letters.translate(None, _LETTERS)) > 3 * len(letters)


def is_plain_text(head: bytes) -> bool:
    """Return whether a file that begins so is a text whose bytes are its letters."""
    return bool(head) and not _wide(head) and not is_binary(head)


def _wide(head: bytes) -> Optional[str]:
    """Return the encoding of a text of 16 bits a letter, which has a mark, or zeros in every other place."""
    if head[:2] in _MARKS:
        return "utf-16"
    head = head[:_SNIFF_BYTES]
    for encoding, zeros, letters in (("utf-16-le", head[1::2], head[::2]), ("utf-16-be", head[::2], head[1::2])):
        most = 10 * zeros.count(b"\0") > 7 * len(zeros) and len(zeros) >= _LEAST_ZEROS
        if most and 10 * len(letters.translate(None, _LETTERS)) < 2 * len(letters):
            return encoding
    return None


def _signature(document: Dict[str, Any]) -> Signature:
    anchors = [anchor.encode() for anchor in document["anchors"]]
    return Signature(document["name"], anchors, re.compile(document["pattern"].encode()))


def _reading(anchors: List[bytes], signatures: List[Signature]) -> Reading:
    """Return what looks for all of these: an expression that begins with one letter skips to the next of it."""
    meant = [signature for signature in signatures if set(signature.anchors) & set(anchors)]
    first, rests = anchors[0][:1], b"|".join(re.escape(anchor[1:]) for anchor in anchors)
    if anchors == [first]:
        return Reading(lambda text: first in text, meant)
    return Reading(re.compile(re.escape(first) + b"(?:" + rests + b")").search, meant)


def _text(data: bytes) -> bytes:
    """Return the text of a file, nothing when it is binary; zeros part words, as they do for grep."""
    if b"\0" not in data:
        return data
    encoding = _wide(data[:_SNIFF_BYTES])
    if encoding:
        return data.decode(encoding, "replace").encode("utf-8", "replace")
    return b"" if is_binary(data[:_SNIFF_BYTES]) else data.replace(b"\0", b"\n")
