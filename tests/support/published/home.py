"""Plants the canaries in a home, and counts which of them a list of what is sent leaves behind."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.support.published.sampling import Sampler

_SHAPES = Path(__file__).with_name("shapes.tsv")
_HARMLESS = (
    "notes/todo{n}.txt",
    "work/app{n}/config.yml",
    "Documents/setup{n}.md",
    "work/lib{n}/settings.ini",
    "scratch/try{n}.py",
    "bin/deploy{n}.sh",
    "logs/build{n}.log",
    "work/site{n}/app.js",
    "work/etc{n}/app.conf",
    "scratch/data{n}.json",
    "notes/meeting{n}",
    "work/svc{n}/values.yaml",
    "work/java{n}/application.properties",
    "work/infra{n}/main.tf",
)
_OPAQUE = "0 canary {value}\n"
"""What lies at a place whose list names no content: it shows that the name is known."""
_BINARY = (".db", ".sqlite", ".sqlite3", ".kdbx", ".jks", ".p12", ".pfx", ".vscdb", ".dat", ".ldb")


@dataclass(frozen=True, slots=True)
class Canary:
    """One secret of a list."""

    path: str
    source: str
    family: str
    in_place: bool
    """Whether it lies where a tool keeps it, rather than under a harmless name."""
    content: bytes


@cache
def canaries() -> tuple[Canary, ...]:
    """Return all canaries, the same in every run."""
    return tuple(_all(Sampler(random.Random(20261130))))  # noqa: S311  - the same in every run


def _all(sampler: Sampler) -> Iterator[Canary]:
    taken: set[str] = set()
    for number, line in enumerate(_SHAPES.read_text(encoding="utf-8").splitlines()):
        source, family, place, shape = line.split("\t")
        in_place = place != "-"
        path = place if in_place else _HARMLESS[number % len(_HARMLESS)].format(n=number)
        if path in taken:
            path = f"more/{number}/{path}"
        taken.add(path)
        yield Canary(path, source, family, in_place, _content(sampler, path, shape, number))


def _content(sampler: Sampler, path: str, shape: str, number: int) -> bytes:
    if path.endswith(_BINARY):
        return b"\0\1\2\3" * 64
    text = sampler.text(shape) + "\n" if shape else _OPAQUE.format(value=sampler.text("[a-z]{9}"))
    if shape and number % 41 == 0:
        return text.encode("utf-16-le")
    if shape and number % 43 == 0:
        return b"start\0end\n" + text.encode()
    return f"some words before\n{text}".encode("utf-8", "replace")


def plant(home: Path) -> None:
    """Write every canary into a home."""
    for canary in canaries():
        file = home / canary.path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(canary.content)


@dataclass(frozen=True, slots=True)
class Recall:
    """How many of some canaries stayed behind."""

    stayed: int
    planted: int

    @property
    def percent(self) -> float:
        return 100 * self.stayed / self.planted

    def __str__(self) -> str:
        return f"{self.stayed} of {self.planted} ({self.percent:.1f} %)"


def recall(arrived: set[str]) -> dict[str, Recall]:
    """Return the recall of all, of places, of harmless names, and of every family, by what arrived."""
    groups: dict[str, list[bool]] = {}
    for canary in canaries():
        where = "places" if canary.in_place else "harmless names"
        for group in ("all", where, f"family {canary.family}"):
            groups.setdefault(group, []).append(canary.path not in arrived)
    return {group: Recall(sum(stayed), len(stayed)) for group, stayed in groups.items()}
