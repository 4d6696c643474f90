"""Quantities and durations mean what Kubernetes says they mean, and nothing else is taken for one."""

from __future__ import annotations

import pytest

from vmclone_operator.domain.units import bytes_of, seconds_of

QUANTITIES = {
    "bytes": ("700", 700),
    "binary": ("50Gi", 50 << 30),
    "the smallest binary": ("1Ki", 1024),
    "decimal": ("5M", 5_000_000),
    "a lower-case k is decimal": ("2k", 2000),
    "the largest unit": ("3Ti", 3 << 40),
}


@pytest.mark.parametrize(("text", "expected"), QUANTITIES.values(), ids=QUANTITIES.keys())
def test_a_quantity_is_a_number_of_bytes(text: str, expected: int) -> None:
    assert bytes_of(text) == expected


DURATIONS = {
    "seconds": ("45s", 45),
    "minutes": ("30m", 1800),
    "milliseconds are not minutes": ("500ms", 0.5),
    "hours and minutes": ("1h30m", 5400),
    "all units": ("1h1m1s1ms", 3661.001),
}


@pytest.mark.parametrize(("text", "expected"), DURATIONS.values(), ids=DURATIONS.keys())
def test_a_duration_is_a_number_of_seconds(text: str, expected: float) -> None:
    assert seconds_of(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "Gi", "1.5Gi", "-1", "1 Gi", "1gi", "1Gi\n", "\N{ARABIC-INDIC DIGIT ONE}Gi"])
def test_anything_else_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="is no quantity"):
        bytes_of(text)


@pytest.mark.parametrize("text", ["", "30", "m", "1h 30m", "-1s", "1.5h", "1d", "x1h", "1h\n"])
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        seconds_of(text)
