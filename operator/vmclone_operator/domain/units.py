"""Quantities and durations as the API writes them, in bytes and seconds. The schema has checked their form."""

from __future__ import annotations

import re

_QUANTITY = re.compile(r"([0-9]+)(Ki|Mi|Gi|Ti|k|M|G|T)?")
_DURATION = re.compile(r"([0-9]+)(h|ms|m|s)")
_FACTORS = {
    None: 1,
    "Ki": 1 << 10,
    "Mi": 1 << 20,
    "Gi": 1 << 30,
    "Ti": 1 << 40,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
}
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def bytes_of(quantity: str) -> int:
    """Return the bytes that a quantity such as `50Gi` stands for; raises ValueError for anything else."""
    found = _QUANTITY.fullmatch(quantity)
    if found is None:
        raise ValueError(f"{quantity!r} is no quantity; write for example 50Gi")
    return int(found[1]) * _FACTORS[found[2]]


def seconds_of(duration: str) -> float:
    """Return the seconds of a duration such as `1h30m` (GEP-2257); raises ValueError for anything else."""
    parts = _DURATION.findall(duration)
    if not parts or "".join(number + unit for number, unit in parts) != duration:
        raise ValueError(f"{duration!r} is no duration; write for example 30m")
    return sum(int(number) * _SECONDS[unit] for number, unit in parts)
