"""What a fleet costs: the operator's process over a fake backend on the lab's real API server.

A replica must cost the same in a fleet of any size; settled, the operator writes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from tests.fleet import measuring
from tests.fleet.conftest import installed
from tests.fleet.installation import Installation

from vmclone_bench.model import Benchmark, Contestant, Sample

FEW, MANY = 50, 200
_SETTLED_SECONDS = 20
_WITHIN_SECONDS = 900


def life(installation: Installation, source: str, count: int) -> Sample:
    """Make so many VMClones of one replica, look at them settled, and remove them."""
    names = [f"c{number}" for number in range(count)]
    made = measuring.make_ready(installation, names, [source], within=_WITHIN_SECONDS)
    mark, began = installation.log_end(), installation.cpu_seconds()
    time.sleep(_SETTLED_SECONDS)
    used, written = installation.cpu_seconds() - began, len(installation.writes(mark))
    gone = measuring.remove(installation, names, within=_WITHIN_SECONDS)
    return {
        "to Ready, CPU ms a replica": 1000 * made.cpu_per_replica,
        "to Ready, s": made.seconds,
        "VMClone passes each": made.passes_per_vmclone,
        "writes a replica, removal included": made.writes_per_replica + gone.writes_per_replica,
        "settled, % of a core": 100 * used / _SETTLED_SECONDS,
        "settled, writes": float(written),
        "RSS, MiB": made.memory_bytes / 2**20,
    }


@contextmanager
def stage() -> Iterator[Sequence[Contestant]]:
    """Yield a small fleet and a larger one, of one operator."""
    with installed(1) as (installation, sources):
        yield [
            Contestant(name=f"{count} VMClones", run=partial(life, installation, sources[0], count))
            for count in (FEW, MANY)
        ]


BENCHMARK = Benchmark(
    name="fleet",
    title="50 and 200 VMClones of one replica applied at once (fake backend, real API server)",
    against=f"{FEW} VMClones",
    judged="to Ready, CPU ms a replica",
    stage=stage,
    rounds=2,
    lab="control-plane",
)
