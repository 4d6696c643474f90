"""A source and a clone behind real sshd, and the copy between them as its pod runs it; needs root."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration.homecopy.copying import Copying
from tests.integration.homecopy.hosts import SshHost, free_port, make_key, remove_users_of_killed_runs, user_name

from vmclone_operator.homecopy.forced_command import authorized_keys_line
from vmclone_operator.homecopy.job import CopyJob

MARK = "vmclone-home-copy-00000001"


@contextmanager
def two_hosts() -> Iterator[tuple[SshHost, SshHost]]:
    """Yield a source and a clone, each a user of this machine with a home and an sshd of its own."""
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
        try:
            yield source, clone
        finally:
            for host in (source, clone):
                host.remove()


@contextmanager
def between(source: SshHost, clone: SshHost, folder: Path) -> Iterator[Copying]:
    """Yield a copy between both, whose homes are empty; `folder` is for its keys."""
    source_public, clone_public = make_key(folder / "source_key"), make_key(folder / "clone_key")
    for host in (source, clone):
        host.options = ()
        host.empty_home()
    source.authorize(source_public)
    clone.authorize(authorized_keys_line(clone_public, mark=MARK))
    for host in (source, clone):
        host.start()
    job = CopyJob(source=source.host(), clone=clone.host(), timeout_seconds=120)
    try:
        yield Copying(source, clone, job, folder)
    finally:
        for host in (source, clone):
            host.stop()
            host.end_processes()
