"""What a Ready clone is after a further boot: nothing of its source may come back with it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from tests.e2e.cluster import REPLICAS, Document, get, is_ready, wait_until
from tests.e2e.machines import Identity, Login, identity, virsh
from tests.e2e.planted import secrets_in

BOOT_SECONDS = 300


def reboot(_domain: str, login: Login) -> None:
    """Reboot a VM from inside."""
    login.reboot()


def power_cycle(domain: str, _login: Login) -> None:
    """Pull the plug; the operator switches on again what is to be on."""
    virsh("destroy", domain)


def after(how: Callable[[str, Login], None], before: Identity, login: Login) -> Identity:
    """Boot a VM once more and return who it is then."""
    how(before.domain, login)
    wait_until(
        f"{before.domain} lets people in after its {how.__name__}",
        lambda: login.boot_id() not in ("", before.boot_id),
        BOOT_SECONDS,
        pause=2,
    )
    # sshd answers before all units are started: what a late one brings back is to be seen, too.
    login.run("systemctl is-system-running --wait || true")
    return identity(before.domain, login)


def differences(replica: Document, now: Identity, login: Login) -> list[str]:
    """Return what is otherwise than its status recorded, and which secrets of its source are there."""
    recorded = replica["status"]["guest"]
    pairs = {
        "hostname": (now.hostname, recorded["hostname"]),
        "machine-id": (hashlib.sha256(now.machine_id.encode()).hexdigest(), recorded["machineIDHash"]),
        "host key": ([now.host_key], recorded["sshHostKeys"]),
        "address": (now.address, recorded["addresses"][0]),
        "uuid": (now.uuid, replica["status"]["externalID"]),
    }
    changed = [f"{what}: {found}, not {wanted}" for what, (found, wanted) in pairs.items() if found != wanted]
    return [*changed, *secrets_in(login)]


def stays_ready(replica: Document) -> Document:
    """Wait until a replica is Ready, the same incarnation with the same record; return it."""
    name = replica["metadata"]["name"]
    wait_until(f"{name} is Ready again", lambda: is_ready(get(REPLICAS, name)), BOOT_SECONDS)
    found = get(REPLICAS, name)
    assert found["metadata"]["uid"] == replica["metadata"]["uid"]
    assert found["status"]["guest"] == replica["status"]["guest"]
    return found
