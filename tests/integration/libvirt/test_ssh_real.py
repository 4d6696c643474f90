"""libvirt over SSH: a real sshd in front of the lab's libvirtd, pinned host keys, and a key that opens one door."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.libvirt_backend import LibvirtFacts, scratch
from tests.integration.homecopy.hosts import SshHost, make_key, run
from tests.integration.libvirt import shapes
from tests.integration.libvirt.second_libvirtd import free_port, open_other
from tests.integration.libvirt.steps import begun, clone_intent, ended, freeze_intent, stamp_of

from vmclone_operator.domain.backend import OperationState
from vmclone_operator.domain.errors import CredentialsInvalid

pytestmark = pytest.mark.libvirt


@pytest.fixture
def door(tmp_path: Path) -> Iterator[SshHost]:
    """Run a real sshd in front of the lab's libvirtd; its one key may run virt-ssh-helper and nothing else."""
    host = SshHost(
        folder=tmp_path,
        user="root",
        address="127.0.0.1",
        port=free_port(),
        options=("PermitRootLogin forced-commands-only", f"HostKey {tmp_path}/ecdsa_host_key"),
    )
    host.new_host_key()
    run("ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", str(tmp_path / "ecdsa_host_key"))
    key = make_key(tmp_path / "user")
    host.authorize(f'restrict,command="virt-ssh-helper qemu:///system" {key}')
    host.start()
    yield host
    host.stop()


def _host_keys(host: SshHost) -> list[str]:
    """Return all public keys of the host, as ssh-keyscan shows them."""
    other = " ".join((host.folder / "ecdsa_host_key.pub").read_text().split()[:2])
    return [host.host_key, other]


def _over_ssh(host: SshHost, host_keys: list[str], pool: str = "default") -> dict[str, object]:
    return {
        "transport": "ssh",
        "host": host.address,
        "port": host.port,
        "user": host.user,
        "knownHosts": host_keys,
        "pool": pool,
    }


def _private_key(host: SshHost, name: str = "user") -> dict[str, bytes]:
    return {"ssh-privatekey": (host.folder / name).read_bytes()}


def test_everything_works_over_ssh(door: SshHost) -> None:
    async def scenario(facts: LibvirtFacts) -> None:
        async with open_other(_over_ssh(door, _host_keys(door), facts.pool_name), _private_key(door)) as session:
            assert "libvirt" in (await session.check()).version
            stamp = stamp_of(str(uuid.uuid4()))
            frozen = await begun(session, freeze_intent(facts, stamp.vmclone_uid, "f1"))
            assert (await ended(session, frozen)).state is OperationState.DONE
            assert (await session.start_clone(clone_intent(facts, stamp, "f1"))).done
            await shapes.removed(session, stamp)
            assert facts.volume_names() == []

    with scratch() as facts:
        asyncio.run(scenario(facts))


@pytest.mark.parametrize("wrong", ["another host key", "another private key", "a broken private key"])
def test_a_wrong_key_on_either_side_ends_the_connection(door: SshHost, wrong: str) -> None:
    other = make_key(door.folder / "other")
    host_keys = [other] if wrong == "another host key" else _host_keys(door)
    secret = _private_key(door, "other" if wrong == "another private key" else "user")
    if wrong == "a broken private key":
        secret = {"ssh-privatekey": b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"}

    async def scenario() -> None:
        with pytest.raises(CredentialsInvalid):
            async with open_other(_over_ssh(door, host_keys), secret):
                pass

    asyncio.run(scenario())
