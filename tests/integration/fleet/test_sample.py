"""What `hack/test fleet` measures at length, counted here for a small fleet: counts hold on any machine.

A thousand cost minutes of two cores, so this makes fewer: what grows with N x waiting time shows at this size as well.
"""

from __future__ import annotations

import time

from tests.fleet import measuring
from tests.fleet.installation import Installation
from tests.fleet.test_fleet import MOST_PASSES, MOST_PASSES_OF_A_REMOVAL, MOST_WRITES, names_of, told

SIZE = 60
QUIET_SECONDS = 5


def test_a_burst_costs_few_passes_and_writes_and_then_none(fleet: tuple[Installation, list[str]]) -> None:
    installation, sources = fleet
    names = names_of(SIZE)
    made = measuring.make_ready(installation, names, sources[:1], within=240)
    told("made", made)
    mark = installation.log_end()
    time.sleep(QUIET_SECONDS)
    assert installation.writes(mark) == []
    assert made.passes_per_vmclone <= MOST_PASSES
    passes = measuring.passes_of_a_removal(installation, names.pop())
    told("passes of one removal", dict(passes))
    assert passes.total() <= MOST_PASSES_OF_A_REMOVAL
    gone = measuring.remove(installation, names, within=240)
    told("removed", gone)
    assert made.writes_per_replica + gone.writes_per_replica <= MOST_WRITES
