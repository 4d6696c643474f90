"""The operator, its fake hypervisor kept in a file: `python -m tests.integration.leaders.operator_with_world FILE ...`.

The file is read when the first session opens, so an operator that takes over finds what the one before it left.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from vmclone_operator import main as operator
from vmclone_operator.domain.errors import CloneFailed
from vmclone_operator.providers import fake


def main() -> None:
    """Run the operator on the world in the file that the first argument names."""
    path = Path(sys.argv.pop(1))
    refused = fake.Fault(kind=fake.FaultKind.FAIL, error=CloneFailed("no room"))
    faults = fake.FaultSchedule(fake.at_call("define", refused, times=int(os.environ.get("TEST_REFUSED", "0"))))
    fake.shared_world = cache(lambda: fake.World(on_demand=True, path=path, faults=faults))
    ahead = timedelta(seconds=int(os.environ.get("TEST_AHEAD_SECONDS", "0")))
    operator._now = lambda: datetime.now(UTC) + ahead  # as the clock of a node that is wrong
    operator.main()


if __name__ == "__main__":
    main()
