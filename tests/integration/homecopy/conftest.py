"""A source and a clone behind real sshd, and the copy between them as its pod runs it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.integration.homecopy.copying import Copying
from tests.integration.homecopy.hosts import SshHost, free_port, make_key, remove_users_of_killed_runs, user_name

from vmclone_operator.homecopy.forced_command import authorized_keys_line
from vmclone_operator.homecopy.job import CopyJob

MARK = "vmclone-home-copy-00000001"


@pytest.fixture(scope="session")
def hosts() -> Iterator[tuple[SshHost, SshHost]]:
    if os.geteuid() != 0:
        pytest.skip("makes users and runs sshd: needs root")
    remove_users_of_killed_runs()
    # Not below pytest's own folder: another run of pytest closes that to the two users.
    with tempfile.TemporaryDirectory(prefix="vmclone-hosts-") as name:
        base = Path(name)
        base.chmod(0o755)
        source, clone = (
            SshHost(base / role, user_name(role), address, free_port(address))
            for role, address in (("source", "127.0.1.1"), ("clone", "127.0.1.2"))
        )
        for host in (source, clone):
            host.create()
        yield source, clone
        for host in (source, clone):
            host.remove()


@pytest.fixture
def copying(hosts: tuple[SshHost, SshHost], tmp_path: Path) -> Iterator[Copying]:
    source, clone = hosts
    source_public, clone_public = make_key(tmp_path / "source_key"), make_key(tmp_path / "clone_key")
    for host in (source, clone):
        host.options = ()
        host.empty_home()
    source.authorize(source_public)
    clone.authorize(authorized_keys_line(clone_public, mark=MARK))
    for host in (source, clone):
        host.start()
    job = CopyJob(source=source.host(), clone=clone.host(), timeout_seconds=120)
    yield Copying(source, clone, replace(job), tmp_path)
    for host in (source, clone):
        host.stop()
        host.end_processes()
