"""A copy is checked, and encrypted twice on its way; still it costs little more than a plain rsync.

`VMCLONE_FIGURES=1` measures the published figures (10,000 files, 1 GiB, three rounds); else a smaller home.
A developer's home: eight of ten files are sources of 24 KiB, the bulk of the bytes is in binary files. A home of texts:
nothing but sources, so every byte is looked through for secrets.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.integration.homecopy.copying import Copying
from tests.integration.homecopy.costs import Cost, CpuAccount, network_of_its_own, tell_figure
from tests.integration.homecopy.homes import write
from tests.integration.homecopy.hosts import make_key, run

from vmclone_operator.homecopy.forced_command import authorized_keys_line

pytestmark = pytest.mark.integration

PUBLISHED = bool(os.environ.get("VMCLONE_FIGURES"))
FILES, MIB, ROUNDS = (10_000, 1024, 3) if PUBLISHED else (2_000, 400, 2)
TEXT_BYTES = 24 * 1024
MOST_CPU = 1.6
ONCE_CPU_SECONDS = 0.0 if PUBLISHED else 0.6
"""What a copy costs however small it is: interpreters, keys, a second hop. It is lost in 1 GiB, not in 400 MiB."""
MOST_WALL = 1.25
MBIT = 200


@pytest.fixture
def account() -> Iterator[CpuAccount]:
    account = CpuAccount()
    if not account.possible:
        pytest.skip("needs cgroup2 to count CPU seconds")
    account.open()
    yield account
    account.close()


def texts() -> bytes:
    """Return what every text is cut from, each at another place: this interpreter's own library."""
    library = b"".join(path.read_bytes() for path in sorted(Path(os.__file__).parent.glob("*.py")))
    return re.sub(rb"://\S*@", b"://", library)  # examples of passwords, which would stay behind


def home_of_texts(home: Path, *, files: int, mib: int) -> None:
    """Fill a home with nothing but texts of one size."""
    letters, library, size = random.Random(1), texts(), mib * 1024 * 1024 // files  # noqa: S311  - the same in every run
    for number in range(files):
        start = letters.randrange(len(library) - size)
        write(home / f"project {number % 50}/src" / f"module{number}.py", library[start : start + size])


def developers_home(home: Path, *, files: int, mib: int) -> None:
    """Fill a home with texts and larger binary files."""
    letters, library = random.Random(1), texts()  # noqa: S311  - the same home in every run
    binary_bytes = (mib * 1024 * 1024 - files * 8 // 10 * TEXT_BYTES) // (files * 2 // 10)
    for number in range(files):
        folder = home / f"project {number % 50}/src"
        if number % 10 < 8:
            start = letters.randrange(len(library) - TEXT_BYTES)
            write(folder / f"module{number}.py", library[start : start + TEXT_BYTES])
        else:
            write(folder / f"data{number}.bin", letters.randbytes(binary_bytes))


class Compared:
    """Both ways to copy one home, each to an empty one."""

    def __init__(self, copying: Copying) -> None:
        self.copying = copying
        self.key = copying.private / f"plain_key_{copying.folder.name}"
        self.public = make_key(self.key)
        shutil.chown(self.key, copying.source.user)
        self.known_hosts = self.key.with_name(f"{self.key.name}_known_hosts")
        self._restart(source=True)

    def _restart(self, *, source: bool) -> None:
        hosts = (self.copying.source, self.copying.clone) if source else (self.copying.clone,)
        for host in hosts:
            host.stop()
        for host in hosts:
            host.start()

    def _empty(self) -> None:
        # Kept until the end: ext4 looks through inodes that were just freed, at the cost of whoever comes next.
        old = self.copying.clone.home
        old.rename(old.with_name(f"old-{len(list(old.parent.glob('old-*')))}"))
        self.copying.clone.empty_home()

    def plain(self) -> None:
        source, clone = self.copying.source, self.copying.clone
        self._empty()
        clone.authorize(self.public)
        self._restart(source=False)
        self.known_hosts.write_text(f"[{clone.address}]:{clone.port} {clone.host_key}\n")
        pinned = f"-o StrictHostKeyChecking=yes -o UserKnownHostsFile={self.known_hosts}"
        ssh = f"ssh -F none -i {self.key} -p {clone.port} {pinned}"
        user = ["setpriv", f"--reuid={source.user}", "--clear-groups"]
        run(*user, "rsync", "-a", "-e", ssh, f"{source.home}/", f"{clone.user}@{clone.address}:", cwd="/")
        clone.stop()

    def ours(self) -> None:
        self._empty()
        public = (self.copying.folder / "clone_key.pub").read_text()
        self.copying.clone.authorize(authorized_keys_line(public, mark="vmclone-home-copy-00000001"))
        self._restart(source=True)
        result = self.copying.run()
        assert (result.reason, result.receipt["files"]) == ("Copied", FILES), result.receipt
        self.copying.clone.stop()
        self.copying.source.stop()

    def clean(self) -> None:
        self.key.unlink()
        self.known_hosts.unlink()
        for old in self.copying.clone.folder.glob("old-*"):
            shutil.rmtree(old)


def rounds(compared: Compared, account: CpuAccount, number: int) -> tuple[Cost, Cost]:
    """Return the medians of both, measured in turn: plain, ours, ours, plain."""
    plain: list[Cost] = []
    ours: list[Cost] = []
    for turn in range(number):
        pair = [(compared.plain, plain), (compared.ours, ours)]
        for action, costs in pair if turn % 2 == 0 else reversed(pair):
            costs.append(account.of(action))
    compared.clean()
    return _median(plain, "plain rsync"), _median(ours, "home copy")


def _median(costs: list[Cost], name: str) -> Cost:
    for cost in costs:
        tell_figure(f"{name}: {cost.cpu_seconds:.2f} CPU-s, {cost.wall_seconds:.2f} s")
    return Cost(
        statistics.median(cost.cpu_seconds for cost in costs), statistics.median(cost.wall_seconds for cost in costs)
    )


HOMES: dict[str, Callable[..., None]] = {"a developer's home": developers_home, "a home of texts": home_of_texts}
WORST_CPU = {"a developer's home": MOST_CPU, "a home of texts": 2.3}
"""Nothing but texts costs 1.97 x since gitleaks' rules look through it; 1.6 x is the target (docs/limits.md)."""


@pytest.mark.parametrize("what", HOMES)
def test_cpu_of_a_copy(what: str, copying: Copying, account: CpuAccount) -> None:
    HOMES[what](copying.source.home, files=FILES, mib=MIB)
    copying.source.own()
    plain, ours = rounds(Compared(copying), account, ROUNDS)
    tell_figure(
        f"{what}, {FILES} files, {MIB} MiB: {ours.cpu_seconds / plain.cpu_seconds:.2f}x the CPU of plain rsync -a"
    )
    assert ours.cpu_seconds <= WORST_CPU[what] * plain.cpu_seconds + ONCE_CPU_SECONDS


def test_wall_time_on_a_slow_link(copying: Copying, account: CpuAccount) -> None:
    developers_home(copying.source.home, files=FILES, mib=MIB)
    copying.source.own()
    clone = copying.clone
    usual = clone.address, clone.prefix
    with network_of_its_own(MBIT) as (address, within):
        clone.stop()
        clone.address, clone.prefix = address, within
        copying.job = replace(copying.job, clone=clone.host(), timeout_seconds=600)
        plain, ours = rounds(Compared(copying), account, 1)
        clone.address, clone.prefix = usual
    tell_figure(
        f"{FILES} files, {MIB} MiB, {MBIT} Mbit/s: {ours.wall_seconds / plain.wall_seconds:.2f}x the time of rsync -a"
    )
    assert ours.wall_seconds <= MOST_WALL * plain.wall_seconds
