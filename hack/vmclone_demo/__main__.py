"""The demo's story, step by step; safe to run again at any point of it."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from vmclone_demo import operator_process
from vmclone_demo.checks import boot_id, log_in, show
from vmclone_demo.cluster import ROOT, apply, documents, wait_established
from vmclone_demo.view import follow

SOURCE = "golden-dev"


def main() -> int:
    """Run the demo, or take it down."""
    parser = argparse.ArgumentParser(prog="hack/demo", description="Three clones of a running VM, from nothing.")
    parser.add_argument("--down", action="store_true", help="remove everything the demo made")
    parser.add_argument("--source", default=SOURCE, help=argparse.SUPPRESS)
    given = parser.parse_args()
    return down() if given.down else up(given.source)


def up(source: str) -> int:
    """Set everything up and show it."""
    started = time.monotonic()
    lab("up")
    print(f"\n== a running source VM: {source}")
    vm = json.loads(subprocess.run([lab_command(), "source", source], check=True, stdout=subprocess.PIPE).stdout)
    before = boot_id(vm)
    print("== the CRDs, the operator, and what the platform team applies: examples/platform.yaml")
    apply(ROOT / "crds")
    wait_established(ROOT / "crds")
    operator_process.ensure_running()
    apply(ROOT / "examples" / "platform.yaml")
    print("== what a user applies: examples/vmclone.yaml")
    applied = time.monotonic()
    apply(ROOT / "examples" / "vmclone.yaml")
    follow("team-a", "dev", deadline_seconds=900)
    print(f"\n== Ready {time.monotonic() - applied:.0f} s after apply")
    show(documents("vmclonereplicas", "team-a"), vm)
    print("\n== one login to each clone, its host key pinned from status")
    for replica in documents("vmclonereplicas", "team-a"):
        print(log_in(replica, vm))
    unbroken = boot_id(vm) == before
    print(f"\nThe source {'never stopped' if unbroken else 'WAS RESTARTED'}: boot id {before[:8]}")
    print(f"{time.monotonic() - started:.0f} s in all. Look around: hack/lab exec -- kubectl -n team-a get vmc,vmcr")
    print("Remove everything: hack/demo --down")
    return 0 if unbroken else 1


def down() -> int:
    """End the operator and the lab; both know what they started."""
    operator_process.stop()
    lab("down")
    return 0


def lab(*arguments: str) -> None:
    """Run hack/lab and show what it says."""
    sys.stdout.flush()
    subprocess.run([lab_command(), *arguments], check=True)


def lab_command() -> Path:
    """Return the path of hack/lab."""
    return ROOT / "hack" / "lab"


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a text stream when run as a command
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        print(f"{error}\n{(error.stderr or '')[-2000:]}", file=sys.stderr)
        sys.exit(1)
