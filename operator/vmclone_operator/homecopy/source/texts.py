"""Tells texts from binary files, and reads texts of 16 bits a letter and texts with zeros in them as texts."""

# Runs on the source, on Python 3.6: no newer typing.
# ruff: noqa: UP045

from typing import Optional

_SNIFF_BYTES = 8192
_MARKS = (b"\xff\xfe", b"\xfe\xff")
_LETTERS = bytes(range(32, 127)) + b"\t\n\f\r\x1b"
_LEAST_ZEROS = 8


def is_binary(head: bytes) -> bool:
    """Return whether a file that begins so is no text; zeros alone do not make it none, nor do 16 bits a letter."""
    if b"\0" not in head or _wide(head):
        return False
    letters = head[:_SNIFF_BYTES].replace(b"\0", b"")
    return not letters or 10 * len(letters.translate(None, _LETTERS)) > 3 * len(letters)


def is_plain_text(head: bytes) -> bool:
    """Return whether a file that begins so is a text whose bytes are its letters."""
    if b"\0" not in head:
        return bool(head) and head[:2] not in _MARKS
    return not _wide(head) and not is_binary(head)


def text_of(data: bytes) -> bytes:
    """Return the text of a file, nothing when it is binary; zeros part words, as they do for grep."""
    if b"\0" not in data:
        return data
    encoding = _wide(data[:_SNIFF_BYTES])
    if encoding:
        return data.decode(encoding, "replace").encode("utf-8", "replace")
    return b"" if is_binary(data[:_SNIFF_BYTES]) else data.replace(b"\0", b"\n")


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
