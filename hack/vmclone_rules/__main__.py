"""`hack/refresh-rules`: reads the pinned scanner's rules and writes what the filter ships; `--check` only compares."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from vmclone_rules.compile import changes, document, written

SHIPPED = Path(__file__).parents[2] / "operator/vmclone_operator/homecopy/shapes.json"


def main() -> int:
    """Write or compare; the exit code of `--check` tells whether there is something to refresh."""
    before = json.loads(SHIPPED.read_text(encoding="utf-8")) if SHIPPED.exists() else {}
    after = document()
    same = SHIPPED.exists() and SHIPPED.read_text(encoding="utf-8") == written(after)
    for line in changes(before, after):
        sys.stdout.write(line + "\n")
    if "--check" in sys.argv[1:]:
        sys.stdout.write("nothing to refresh\n" if same else "run hack/refresh-rules\n")
        return 0 if same else 1
    SHIPPED.write_text(written(after), encoding="utf-8")
    sys.stdout.write(f"{len(after['shapes'])} key shapes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
