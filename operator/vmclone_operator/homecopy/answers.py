"""Reads the answers of our programs on source and clone out of what a login shell may print around them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, Any

from vmclone_operator.homecopy.source.program import MARK

_LONGEST_ANSWER = 1 << 20


def answers(stream: IO[bytes], secret: str) -> Iterator[dict[str, Any]]:
    """Yield the lines that have our mark and this run's secret; whatever else is printed is passed over."""
    mark = f"{MARK}{secret} ".encode()
    for line in iter(lambda: stream.readline(_LONGEST_ANSWER), b""):
        _, found, text = line.partition(mark)
        if found and line.endswith(b"\n"):  # a last line may be cut with the connection
            document = json.loads(text)
            if isinstance(document, dict) and "event" in document:
                yield document
