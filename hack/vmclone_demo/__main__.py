"""The demo's story, step by step; safe to run again at any point of it."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from vmclone_demo import home, places, release
from vmclone_demo.checks import boot_id, log_in, show
from vmclone_demo.cluster import ROOT, documents, give
from vmclone_demo.view import follow

SOURCE, IMAGE = "golden-dev", "golden-dev-image"
TEAM = "team-a"


def main() -> int:
    """Run the demo, or take it down."""
    parser = argparse.ArgumentParser(
        prog="hack/demo", description="Clones of a running VM in both modes, from nothing."
    )
    parser.add_argument("--down", action="store_true", help="remove everything the demo made")
    parser.add_argument(
        "--backend",
        choices=sorted(places.PLACES),
        default="libvirt",
        help="what makes the clones: the lab's libvirtd, or a double of another API with the same guests behind it",
    )
    given = parser.parse_args()
    return down() if given.down else up(given.backend)


def up(backend: str) -> int:
    """Set everything up and show it."""
    started = time.monotonic()
    lab("up")
    print(f"\n== a running source VM, {SOURCE}, and a golden image for fresh ones")
    with lab_started("source", SOURCE) as booting:
        lab("build", "helm")
        lab("image", IMAGE)
        print("== the operator: images built here, installed by Helm where Pod Security `restricted` is enforced")
        images = release.build_images()
        release.make_namespace()
        release.install(images)
        vm = json.loads(booting.communicate()[0])
    home.plant(vm)
    before = boot_id(vm)
    place = places.PLACES[backend](SOURCE, IMAGE)
    print(f"== what the platform team applies: examples/platform.yaml{place.told}")
    release.give_home_key(vm)
    print(give(*platform(vm, place)))
    disk_clones(vm, place)
    clean_clones(vm, place)
    unbroken = boot_id(vm) == before
    print(f"\nThe source {'never stopped' if unbroken else 'WAS RESTARTED'}: boot id {before[:8]}")
    print(f"{time.monotonic() - started:.0f} s in all. Look around: hack/lab exec -- kubectl -n {TEAM} get vmc,vmcr")
    print("Remove everything: hack/demo --down")
    return 0 if unbroken else 1


def platform(vm: Mapping[str, Any], place: places.Place) -> list[dict[str, Any]]:
    """Return the platform team's manifests for a place, with the keys that this source and its people really have."""
    found = list(yaml.safe_load_all((ROOT / "examples" / "platform.yaml").read_text()))
    for document in found:
        if document["kind"] == "CloneBackend":
            document["spec"] = place.backend(document["spec"])
        if document["kind"] == "CloneSource":
            document["spec"]["images"][0]["volume"] = place.image
            document["spec"]["home"]["knownHosts"] = [vm["hostKey"]]
            document["spec"]["home"]["authorizedKeys"] = [Path(vm["keyFile"] + ".pub").read_text().strip()]
    return found


def disk_clones(vm: Mapping[str, Any], place: places.Place) -> None:
    """Clones of the running source's disk."""
    print("== what a user applies: examples/vmclone.yaml (mode Disk)")
    replicas = clones("vmclone.yaml", "dev", place.disk_clones)
    show(replicas, vm)
    print("\n== one login to each clone, its host key pinned from status")
    for replica in replicas:
        print(log_in(replica, vm))


def clean_clones(vm: Mapping[str, Any], place: places.Place) -> None:
    """Fresh VMs with the home, but for its secrets."""
    print(
        "\n== what a user applies: examples/vmclone-clean.yaml (mode Clean: a fresh VM, the home without its secrets)"
    )
    replicas = clones("vmclone-clean.yaml", "fresh", place.clean_clones)
    show(replicas, vm)
    print("\n== the receipts, and what is in the clones' homes")
    for replica in replicas:
        print(f"  {replica['spec']['session']}: {home.receipt(replica)}")
        work, secrets = home.found(replica, vm, home.WORK), home.found(replica, vm, home.SECRETS)
        print(f"    work in it: {', '.join(work)}; secrets in it: {', '.join(secrets) or 'none'}")
        if len(work) != len(home.WORK) or secrets:
            raise SystemExit("the home is not what its receipt says")


def clones(example: str, name: str, count: int) -> list[dict[str, Any]]:
    """Apply an example with so many clones, show its way to Ready, and return its replicas."""
    applied = time.monotonic()
    document = yaml.safe_load((ROOT / "examples" / example).read_text())
    document["spec"]["replicas"] = count
    print(give(document))
    follow(TEAM, name, deadline_seconds=900)
    print(f"\n== Ready {time.monotonic() - applied:.0f} s after apply")
    return [d for d in documents("vmclonereplicas", TEAM) if d["metadata"]["labels"]["vmclone.dev/vmclone"] == name]


def down() -> int:
    """Take the lab down, and with it all that was made."""
    lab("down")
    return 0


def lab(*arguments: str) -> None:
    """Run hack/lab and show what it says."""
    sys.stdout.flush()
    subprocess.run([lab_command(), *arguments], check=True)


def lab_started(*arguments: str) -> subprocess.Popen[str]:
    """Start hack/lab, to be waited for; what it prints is its answer."""
    return subprocess.Popen([lab_command(), *arguments], stdout=subprocess.PIPE, text=True)


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
