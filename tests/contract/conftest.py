"""Runs every contract test over every backend that can be reached; what cannot says why."""

from __future__ import annotations

import pytest
from tests.contract.backends import BACKENDS, Play, play, why_not

MARKS = {"libvirt": [pytest.mark.libvirt]}


def _named(names: list[str]) -> list[object]:
    return [pytest.param(name, marks=MARKS.get(name, []), id=name) for name in names]


@pytest.fixture(params=_named(list(BACKENDS)))
def on_backend(request: pytest.FixtureRequest) -> Play:
    """Play a scenario on a fresh site of each backend."""
    reason = why_not(request.param)
    if reason:
        pytest.skip(reason)
    return lambda scenario: play(BACKENDS[request.param], scenario)


DISK_BY_DISK = [name for name in BACKENDS if not name.startswith("proxmox")]


@pytest.fixture(params=_named(DISK_BY_DISK))
def disk_by_disk(request: pytest.FixtureRequest) -> Play:
    """Play a scenario on each backend where full copies are ours, disk by disk."""
    reason = why_not(request.param)
    if reason:
        pytest.skip(reason)
    return lambda scenario: play(BACKENDS[request.param], scenario)


@pytest.fixture(params=["fake", "proxmox"])
def with_guest(request: pytest.FixtureRequest) -> Play:
    """Play a scenario on each backend whose clones boot a guest; real guests are booted in tests/integration."""
    return lambda scenario: play(BACKENDS[request.param], scenario)
