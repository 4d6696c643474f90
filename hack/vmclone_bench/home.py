"""A home copy, and plain `rsync -a` over one ssh between the same two hosts, into an empty home each time.

A developer's home: texts, and larger binary files. A copy is judged before it leaves, encrypted twice on its way and
compared where it arrives; a control group counts the CPU of all that takes part.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from tests.integration.homecopy import test_costs
from tests.integration.homecopy.costs import CpuAccount
from tests.integration.homecopy.pairs import between, two_hosts

from vmclone_bench.model import Benchmark, Contestant, Sample


def cost(account: CpuAccount, copy: Callable[[], None]) -> Sample:
    """Return what one copy cost."""
    found = account.of(copy)
    return {"CPU s": found.cpu_seconds, "wall s": found.wall_seconds}


@contextmanager
def stage() -> Iterator[Sequence[Contestant]]:
    """Yield both ways to copy one home."""
    account = CpuAccount()
    with ExitStack() as undo:
        folder = Path(undo.enter_context(tempfile.TemporaryDirectory()))
        account.open()
        undo.callback(account.close)
        copying = undo.enter_context(between(*undo.enter_context(two_hosts()), folder))
        test_costs.developers_home(copying.source.home, files=test_costs.FILES, mib=test_costs.MIB)
        copying.source.own()
        compared = test_costs.Compared(copying)
        undo.callback(compared.clean)
        yield [
            Contestant(name="vmclone", run=partial(cost, account, compared.ours)),
            Contestant(name="rsync -a", run=partial(cost, account, compared.plain)),
        ]


BENCHMARK = Benchmark(
    name="home",
    title=f"a home of {test_costs.FILES:,} files and {test_costs.MIB} MiB copied into an empty one over loopback",
    against="rsync -a",
    judged="CPU s",
    stage=stage,
)
