"""A source and a clone behind real sshd, and the copy between them as its pod runs it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.homecopy.copying import Copying
from tests.integration.homecopy.hosts import SshHost
from tests.integration.homecopy.pairs import between, two_hosts


@pytest.fixture(scope="session")
def hosts() -> Iterator[tuple[SshHost, SshHost]]:
    if os.geteuid() != 0:
        pytest.skip("makes users and runs sshd: needs root")
    with two_hosts() as both:
        yield both


@pytest.fixture
def copying(hosts: tuple[SshHost, SshHost], tmp_path: Path) -> Iterator[Copying]:
    with between(*hosts, tmp_path) as copying:
        yield copying
