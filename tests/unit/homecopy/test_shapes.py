"""The key shapes that come from a kept scanner: bounded, told apart by name, and refreshed by one command."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.published.home import canaries

from vmclone_operator.homecopy.filters import floor
from vmclone_operator.homecopy.source.signatures import Signatures, entropy_of, is_mixed
from vmclone_rules.compile import changes, written
from vmclone_rules.expressions import for_python, read, without_lead

RULES = floor().rules
parser: Any = re._parser  # type: ignore[attr-defined]
LONGEST = 5000


def expressions() -> Iterator[str]:
    for shape in [*RULES["shapes"], *RULES["signatures"], RULES["harmless"]]:
        yield from [shape["pattern"]] if "pattern" in shape else shape["expressions"]
        yield from (text for entry in shape.get("harmless", ()) for text in entry.get("expressions", ()))


def longest(parts: Any) -> int:
    """Return how much an expression can take at most."""
    return int(parser.parse(parts).getwidth()[1])


def test_no_shape_repeats_without_end() -> None:
    assert max(longest(shape["pattern"]) for shape in [*RULES["shapes"], *RULES["signatures"]]) <= 20 * LONGEST


def test_every_expression_can_be_read() -> None:
    assert len([re.compile(text.encode()) for text in expressions()]) > 300


def test_no_two_shapes_have_one_name() -> None:
    names = [shape["name"] for shape in [*RULES["shapes"], *RULES["signatures"]]]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("screen", RULES["screens"], ids=lambda screen: screen["finds"])
def test_every_screen_has_an_example(screen: dict[str, str]) -> None:
    assert re.search(screen["expression"], screen["finds"])


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (r"[\w.-]{0,50}?(?:acme)=([a-z0-9]+)", r"(?:(?:acme))=((?:[a-z0-9]){1,65})"),
        (r"(?i)x_[a-f]{32}", r"(?i:x_(?:[a-f]){32})"),
        (r"(?:x|(?i)y)z*", r"(?:x|(?i:y))(?:z){0,64}"),
    ],
    ids=["what only widens the match is dropped", "case for all of it", "case within a group"],
)
def test_an_expression_of_go_is_written_anew(theirs: str, ours: str) -> None:
    parts, any_case = read(theirs)
    text = for_python(without_lead(parts))
    text = f"(?i:{text})" if any_case else text
    for subject in ("acme=a1b2", "X_" + "aB" * 16, "Yzzz", "xz"):
        assert bool(re.search(text, subject)) == bool(re.search(ours, subject))


def test_a_refresh_says_what_it_changes() -> None:
    before = {"source": {"version": "v1"}, "shapes": [{"name": "a", "pattern": "a"}, {"name": "b", "pattern": "b"}]}
    after = {"source": {"version": "v2"}, "shapes": [{"name": "b", "pattern": "bb"}, {"name": "c", "pattern": "c"}]}
    assert list(changes(before, after)) == ["gitleaks v1 -> v2", "removed: a", "changed: b", "added: c"]


def test_one_shape_is_one_line_of_the_data() -> None:
    content = {"source": {}, "harmless": {}, "screens": [], "shapes": [{"name": "a"}, {"name": "b"}]}
    assert '\n    {"name": "a"},\n    {"name": "b"}\n' in written(content)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("password = 'Tr0ub4dor&3x'", True),
        ("password = 'changeme123'", False),
        ("password = os.environ['DB_PASSWORD_2']", False),
        ("adafruit_key = 'q9w8e7r6t5y4u3i2o1p0a9s8d7f6g5h4'", True),
        ("https://q9w8e7r6t5y4u3i2o1p0a9s8@git.example.org/x.git", True),
        ("curl -u me:hJ7kL2mN9pQ4 https://api.example.org", True),
        ("sha256 = '2a5aeecc61dc98c4d780b14b330e32822a5aeecc61dc98c4d780b14b330e3282'", False),
        ('"integrity": "sha512-q9w8e7R6T5y4u3i2o1P0a9s8D7f6g5h4q9w8e7r6t5y4u3i2=="', False),
    ],
)
def test_a_value_is_a_secret_by_what_it_is_called_and_how_it_looks(text: str, secret: bool) -> None:
    assert (Signatures(RULES).found_in(text.encode()) is not None) is secret


def test_entropy_is_that_of_shannon() -> None:
    assert (entropy_of(b"aaaa"), entropy_of(b"abab"), entropy_of(b"abcd")) == (0, 1, 2)


def test_letters_alone_are_not_mixed() -> None:
    assert (is_mixed(b"abc"), is_mixed(b"123"), is_mixed(b"abc1")) == (False, False, True)


QUICK = [shape for shape in RULES["shapes"] if shape.get("starts")]


@pytest.mark.parametrize("shape", QUICK, ids=lambda shape: shape["name"])
def test_what_a_shape_finds_begins_with_an_anchor_where_it_is_tried_nowhere_else(shape: dict[str, Any]) -> None:
    """Tried on every list's canaries; a shape that could begin elsewhere would lose some of them."""
    pattern, anchors = re.compile(shape["pattern"].encode(), re.MULTILINE), tuple(map(str.encode, shape["anchors"]))
    texts = [canary.content for canary in canaries()]
    starts = [text[found.start() :].lower() for text in texts for found in pattern.finditer(text)]
    assert len(starts) >= 5
    assert [start[:40] for start in starts if not start.startswith(anchors)] == []


def test_a_shape_is_found_beside_lines_that_have_none_of_its_anchors() -> None:
    lines = [b"x = '%d'" % number for number in range(50)]
    token = b'authorization: "Bearer q9W8e7R6t5Y4u3I2o1P0a9S8d7F6"'
    shapes = Signatures(RULES)
    assert shapes.found_in_lines(lines, lambda: b"") is None
    for place in range(0, 51, 10):
        assert shapes.found_in_lines([*lines[:place], token, *lines[place:]], lambda: b"") == "authorization"


def test_lines_that_were_clean_in_one_text_are_judged_in_each_text_that_has_them_in_another_one() -> None:
    """A block is remembered as clean only where no shape in question looks at the rest of the text."""
    wanted = {"name": "two lines", "pattern": "BEGIN KEY[^!]*secret1x", "anchors": ["begin key"], "whole": True}
    shapes = Signatures({**RULES, "signatures": [wanted], "shapes": []})
    line = [b"BEGIN KEY"]
    assert shapes.found_in_lines(line, lambda: b"BEGIN KEY!") is None
    assert shapes.found_in_lines(line, lambda: b"BEGIN KEY\nsecret1x") == "two lines"


def test_what_was_found_once_is_found_each_time() -> None:
    clean, token = b"x = '1'", b'authorization: "Bearer q9W8e7R6t5Y4u3I2o1P0a9S8d7F6"'
    shapes = Signatures(RULES)
    texts = [[clean], [token], [clean], [clean, token], [token], [clean, token]]
    found = [shapes.found_in_lines(lines, lambda: b"") for lines in texts]
    assert found == [None, "authorization", None, "authorization", "authorization", "authorization"]


def test_texts_without_end_are_judged_alike_whatever_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vmclone_operator.homecopy.source.signatures._REMEMBERED", 3)
    shapes, token = Signatures(RULES), b'authorization: "Bearer q9W8e7R6t5Y4u3I2o1P0a9S8d7F6"'
    for number in range(20):
        assert shapes.found_in_lines([b"x = '%d'" % (number % 5)], lambda: b"") is None
        assert shapes.found_in_lines([token], lambda: b"") == "authorization"
