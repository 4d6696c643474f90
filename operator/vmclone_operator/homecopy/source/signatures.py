"""Finds secrets in texts: a kept scanner's rules and ours, tried only where something stands that may be one.

Hundreds of expressions cannot be tried on every byte of a home. So a few cheap ones, the screens, say which lines may
hold a secret at all: `x = "a1B2c3"`, a run of letters and digits that no word has, `://user:...@`, `BEGIN ... KEY`.
Only in these lines a shape is tried, and only when one of its anchors stands there. What it finds is a secret unless
it repeats itself too much (`entropy`, bits a letter), has letters alone where a password would not (`mixed`), or is
known to be none (`harmless`). Most shapes are one line; the whole text is looked through for those that are not.
"""

# Runs on the source, on Python 3.6: no newer typing, and no newer zip.
# ruff: noqa: B905, UP006, UP035, UP045

import hashlib
import math
import re
from typing import Any, Callable, Dict, Iterable, Iterator, List, Match, NamedTuple, Optional, Pattern, Set, Tuple

from vmclone_operator.homecopy.source.texts import text_of

_LONGEST_LINE = 1024
_AROUND = 512
"""Of a longer line, as programs write them, this much is looked at on both sides of what the screens find."""
_BEFORE_MATCH = 50
_BLOCK_BYTES = 4096
_INDEXED = 3
_REMEMBERED = 50_000
"""Clean blocks known by their digests, 6 MiB at most: homes have the same packages several times."""
_LETTER = re.compile(rb"[A-Za-z]")
_NO_WORD = re.compile(rb"[^A-Za-z_./-]")


Begin = Tuple[int, int, int]
"""The first three letters of an anchor: all that stand in a line are looked up at once."""


class Lazy:
    """An expression that is read when it is first needed: most never are."""

    def __init__(self, text: str, flags: int = 0) -> None:
        self._text, self._flags = text.encode(), flags
        self._read = None  # type: Optional[Pattern[bytes]]

    def read(self) -> Pattern[bytes]:
        """Return the expression."""
        if self._read is None:
            self._read = re.compile(self._text, self._flags)
        return self._read


class Harmless(NamedTuple):
    """What is known to be no secret."""

    place: str
    """What is looked at: the `secret`, the whole `match`, or its `line`."""
    expression: Optional[Lazy]
    words: Tuple[bytes, ...]


class Shape(NamedTuple):
    """One key shape."""

    name: str
    pattern: Lazy
    group: Optional[int]
    entropy: float
    first_harmless: Tuple[Harmless, ...]
    harmless: Tuple[Harmless, ...]
    mixed: bool
    """Whether only a value of letters and of digits or signs is meant."""
    whole: bool
    """Whether it has several lines."""
    starts: bool
    """Whether what it finds begins with an anchor, so that it need not be tried elsewhere."""


class Signatures:
    """All key shapes, asked about one file at a time."""

    def __init__(self, rules: Dict[str, Any]) -> None:
        self._screens = [re.compile(screen["expression"].encode()) for screen in rules["screens"]]
        everywhere = _harmless(dict(rules.get("harmless", {}), **{"in": "secret"}))
        made_up = Harmless("secret", Lazy(rules["madeUp"]), ())
        alone = [_shape(document, (made_up,)) for document in rules["signatures"]]
        self._shapes = alone + [_shape(document, (everywhere, made_up)) for document in rules.get("shapes", ())]
        self._short = {}  # type: Dict[bytes, List[int]]
        self._indexed = {}  # type: Dict[Begin, Dict[bytes, List[int]]]
        for number, document in enumerate([*rules["signatures"], *rules.get("shapes", ())]):
            for anchor in document["anchors"]:
                self._index(anchor.lower().encode(), number)
        self._begins = frozenset(self._indexed)
        self._clean = set()  # type: Set[bytes]

    def _index(self, anchor: bytes, number: int) -> None:
        short = len(anchor) < _INDEXED
        place = self._short if short else self._indexed.setdefault((anchor[0], anchor[1], anchor[2]), {})
        place.setdefault(anchor, []).append(number)

    def found_in(self, data: bytes) -> Optional[str]:
        """Return the name of a key shape in a text; binary files have none that could be told apart."""
        text = text_of(data)
        return self._first(self._windows(text), lambda: text) if text else None

    def found_in_lines(self, lines: List[bytes], read: Callable[[], bytes]) -> Optional[str]:
        """Return the same of a text of which all lines that the screens find are known already."""
        if any(b"\0" in line for line in lines):
            return self.found_in(read())
        return self._first(self._parted(lines), lambda: text_of(read()))

    def _first(self, windows: Iterable[bytes], whole: Callable[[], bytes]) -> Optional[str]:
        searched = set()  # type: Set[int]
        for block in _blocks(windows):
            digest = hashlib.sha256(block).digest()  # systems under FIPS have few others
            if digest in self._clean:
                continue
            lower = block.lower()
            possible = sorted(self._possible(lower).items())
            for number, anchors in possible:
                shape = self._shapes[number]
                if shape.whole and number in searched:
                    continue
                searched.add(number)
                if _is_in(shape, whole()) if shape.whole else _is_near(shape, block, lower, anchors):
                    return shape.name
            if not any(self._shapes[number].whole for number, _ in possible):
                self._remember(digest)
        return None

    def _remember(self, digest: bytes) -> None:
        """Keep it that a block is clean, wherever it stands: no shape in question looks at more of a text than it."""
        if len(self._clean) >= _REMEMBERED:
            self._clean.clear()
        self._clean.add(digest)

    def _possible(self, lower: bytes) -> Dict[int, List[bytes]]:
        """Return the shapes of which an anchor is in these lines, which are in small letters, and these anchors."""
        found = {}  # type: Dict[int, List[bytes]]
        near = [self._indexed[begin] for begin in self._begins.intersection(zip(lower, lower[1:], lower[2:]))]
        for anchors in [self._short, *near]:
            for anchor, numbers in anchors.items():
                if anchor in lower:
                    for number in numbers:
                        found.setdefault(number, []).append(anchor)
        return found

    def _parted(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        for line in lines:
            if len(line) <= _LONGEST_LINE:
                yield line
            else:
                yield from self._windows(line)

    def _windows(self, text: bytes) -> Iterator[bytes]:
        """Yield what is to be looked at: the lines that a screen finds something in, of long ones a part."""
        spans = {span for screen in self._screens for span in _spans(screen, text)}
        for start, end in sorted(spans):
            yield text[start:end]


def _blocks(windows: Iterable[bytes]) -> Iterator[bytes]:
    """Yield some of these at once, as lines: most texts have few, and what is done for each block costs most."""
    held, room = [], _BLOCK_BYTES  # type: List[bytes], int
    for window in windows:
        if len(window) > room and held:
            yield b"\n".join(held)
            held, room = [], _BLOCK_BYTES
        held.append(window)
        room -= len(window)
    if held:
        yield b"\n".join(held)


def _spans(screen: Pattern[bytes], text: bytes) -> Iterator[Tuple[int, int]]:
    found = screen.search(text)
    while found:
        start, end = text.rfind(b"\n", 0, found.start()) + 1, text.find(b"\n", found.end())
        end = len(text) if end < 0 else end
        if end - start > _LONGEST_LINE:
            start, end = max(start, found.start() - _AROUND), min(end, found.end() + _AROUND)
        yield start, end
        found = screen.search(text, end)


def _shape(document: Dict[str, Any], everywhere: Tuple[Harmless, ...]) -> Shape:
    harmless = [_harmless(entry) for entry in document.get("harmless", ())]
    return Shape(
        document["name"],
        Lazy(document["pattern"], re.MULTILINE if document.get("lines") else 0),
        document.get("group"),
        float(document.get("entropy", 0)),
        tuple(entry for entry in harmless if _is_quick(entry)),
        tuple(entry for entry in harmless if not _is_quick(entry)) + everywhere,
        bool(document.get("mixed")),
        bool(document.get("whole")),
        bool(document.get("starts")),
    )


def _harmless(entry: Dict[str, Any]) -> Harmless:
    expressions = entry.get("expressions")
    joined = "|".join("(?:" + expression + ")" for expression in expressions) if expressions else None
    words = tuple(word.lower().encode() for word in entry.get("words", ()))
    return Harmless(entry["in"], Lazy(joined) if joined else None, words)


def _is_quick(entry: Harmless) -> bool:
    """Return whether it is asked sooner than the entropy is reckoned."""
    return entry.place == "secret" and not entry.words


def _is_in(shape: Shape, text: bytes) -> bool:
    return any(_is_secret(shape, text, found) for found in shape.pattern.read().finditer(text))


def _is_near(shape: Shape, text: bytes, lower: bytes, anchors: List[bytes]) -> bool:
    """Return whether a shape is in these lines; most of them have no anchor, and trying an expression costs most."""
    if not shape.starts and min(map(len, anchors)) < _INDEXED:
        return _is_in(shape, text)  # anchors as short as a quote are in every line
    places = {place for anchor in anchors for place in _places(lower, anchor)}
    if not shape.starts:
        return _is_in(shape, _lines_at(text, places))
    pattern = shape.pattern.read()
    tried = (pattern.match(text, place) for place in sorted(places))
    return any(found is not None and _is_secret(shape, text, found) for found in tried)


def _places(lower: bytes, anchor: bytes) -> Iterator[int]:
    """Yield where an anchor is."""
    at = lower.find(anchor)
    while at >= 0:
        yield at
        at = lower.find(anchor, at + 1)


def _lines_at(text: bytes, places: Set[int]) -> bytes:
    """Return the lines with these places, each with the one that follows: few shapes go on there."""
    parts, taken, known = [], 0, 0  # type: List[bytes], int, int
    for place in sorted(places):
        if place < known:
            continue
        start = max(taken, text.rfind(b"\n", 0, place) + 1)
        known = text.find(b"\n", place) + 1 or len(text)
        taken = text.find(b"\n", known) + 1 or len(text)
        parts.append(text[start:taken])
    return b"".join(parts)


def _is_secret(shape: Shape, text: bytes, found: Match[bytes]) -> bool:
    if shape.group is not None:
        secret = found.group(shape.group) or found.group()
    else:
        secret = next(filter(None, found.groups()), b"") or found.group()
    if shape.mixed and not is_mixed(secret):
        return False
    if any(_is_harmless(entry, text, found, secret) for entry in shape.first_harmless):
        return False
    if shape.entropy and entropy_of(secret) <= shape.entropy:
        return False
    return not any(_is_harmless(entry, text, found, secret) for entry in shape.harmless)


def _is_harmless(entry: Harmless, text: bytes, found: Match[bytes], secret: bytes) -> bool:
    looked_at = secret
    if entry.place != "secret":
        start, end = max(found.start() - _BEFORE_MATCH, text.rfind(b"\n", 0, found.start()) + 1, 0), found.end()
        if entry.place == "line":
            end = min(end + _AROUND, (text.find(b"\n", end) + 1 or len(text) + 1) - 1)
        looked_at = text[start:end]
    if entry.expression and entry.expression.read().search(looked_at):
        return True
    lower = looked_at.lower()
    return any(word in lower for word in entry.words)


def is_mixed(secret: bytes) -> bool:
    """Return whether a text has letters, and digits or signs besides."""
    return bool(_LETTER.search(secret) and _NO_WORD.search(secret))


def entropy_of(secret: bytes) -> float:
    """Return the bits a letter of a text that is drawn like this one."""
    length = len(secret) or 1
    often = [count for count in map(secret.count, set(secret)) if count > 1]
    return math.log2(length) - sum(count * math.log2(count) for count in often) / length
