"""The benchmarks by name. Each is imported when it runs: one needs libvirt, another a cluster."""

from __future__ import annotations

from importlib import import_module

from vmclone_bench.model import Benchmark

NAMES = ("passes", "fleet", "linked", "home")


def find(name: str) -> Benchmark:
    """Return a benchmark by its name."""
    found: Benchmark = import_module(f"vmclone_bench.{name}").BENCHMARK
    return found
