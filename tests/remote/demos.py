"""One run of the demo over a double with real guests behind it, and what must be true of it whatever the backend."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.e2e.cluster import delete, names_of_vmclones, replicas_of, wait_until
from tests.e2e.machines import ROOT, virsh
from tests.support.cluster_cli import kubectl

from vmclone_demo import home
from vmclone_lab import processes
from vmclone_lab.lab import Lab
from vmclone_lab.layout import Layout
from vmclone_lab.sources import read_facts

SOURCE = "golden-dev"
BOOTS = 4
_DEMO_SECONDS = 1500


def lab() -> Lab:
    """Return the lab that the tests run in."""
    return Lab(Layout.from_environment(os.environ))


def run_demo(backend: str) -> str:
    """Run the demo and return what it printed."""
    demo = [str(ROOT / "hack" / "demo"), "--backend", backend]
    done = subprocess.run(demo, capture_output=True, text=True, timeout=_DEMO_SECONDS, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "The source never stopped" in done.stdout
    return done.stdout


def check_identities() -> None:
    """No two machines have anything in common by which one is known."""
    source, replicas = read_facts(lab(), SOURCE), [*replicas_of("dev"), *replicas_of("fresh")]
    guests = [one["status"]["guest"] for one in replicas]
    assert len(guests) == BOOTS - 1
    seen = {
        "machine id": [source["machineIDHash"], *(guest["machineIDHash"] for guest in guests)],
        "hostname": [SOURCE, *(guest["hostname"] for guest in guests)],
        "host key": [source["hostKey"], *(key for guest in guests for key in guest["sshHostKeys"])],
        "address": [source["address"], *(guest["addresses"][0] for guest in guests)],
    }
    assert {kind: values for kind, values in seen.items() if len(set(values)) != len(values)} == {}


def check_homes() -> None:
    """A clone of the disk has the work of its source's home and none of its secrets, asked at a pinned login."""
    source, replicas = read_facts(lab(), SOURCE), replicas_of("dev")
    assert replicas
    for replica in replicas:
        assert home.found(replica, source, home.SECRETS) == []
        assert home.found(replica, source, home.WORK) == list(home.WORK)


def check_nothing_left(prefix: str) -> None:
    """Delete all VMClones: the double's machines and files are gone with them."""
    assert files(prefix), "there was nothing to remove"
    for name in names_of_vmclones():
        delete(name)
    wait_until("there is no VMClone", lambda: not names_of_vmclones(), 300)
    assert virsh("list", "--all", "--name").split() == [SOURCE]
    assert files(prefix) == []


def files(prefix: str) -> list[Path]:
    """Return the files of a double in the lab's pool."""
    return [path for path in lab().paths.pool.iterdir() if path.name.startswith(prefix)]


def lab_without(double: str) -> None:
    """End a double, and take away what the demo applied for it: the next one is the same CloneBackend at another."""
    kubectl("delete", "clonesources,clonebackends", "--all", "--timeout=60s")
    here, name = lab(), f"{double}-double"
    process = here.record.processes.get(name)
    if process is not None:
        processes.end([process])
        here.forget(name)
