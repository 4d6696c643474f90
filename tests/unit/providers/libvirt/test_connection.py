"""How a host is reached: addresses made from fields, keys that nobody else can read, threads that never linger."""

from __future__ import annotations

import threading
import uuid
from pathlib import Path

import pytest

from vmclone_operator.api.backend import LibvirtSettings
from vmclone_operator.domain.errors import CredentialsInvalid
from vmclone_operator.engine.work.queue import PASS_SECONDS
from vmclone_operator.providers.libvirt.access import PrivateFiles, uri
from vmclone_operator.providers.libvirt.connection import CALL_SECONDS, OPEN_SECONDS
from vmclone_operator.providers.libvirt.frozen_names import parse_name
from vmclone_operator.providers.libvirt.guest import usable_addresses
from vmclone_operator.providers.libvirt.threads import Threads

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKVp3F75mFxsHowsOXndFRLW"
TLS = LibvirtSettings(transport="tls", host="hv1.example")
CREDENTIALS = {"tls.crt": b"certificate", "tls.key": b"key", "ca.crt": b"authority"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({"transport": "local"}, "qemu:///system", id="the local socket"),
        pytest.param(
            {"transport": "tls", "host": "hv1.example"},
            "qemu+tls://hv1.example:16514/system?pkipath=/keys",
            id="a name over TLS",
        ),
        pytest.param(
            {"transport": "tls", "host": "10.0.0.7", "port": 9},
            "qemu+tls://10.0.0.7:9/system?pkipath=/keys",
            id="another port",
        ),
        pytest.param(
            {"transport": "tls", "host": "fd00::7"},
            "qemu+tls://[fd00::7]:16514/system?pkipath=/keys",
            id="an IPv6 address stands in brackets",
        ),
        pytest.param(
            {"transport": "ssh", "host": "hv1.example", "user": "root", "knownHosts": [HOST_KEY]},
            "qemu+libssh2://root@hv1.example:22/system?keyfile=/keys/key&known_hosts=/keys/known_hosts"
            "&known_hosts_verify=normal&sshauth=privkey&proxy=native&no_tty=1",
            id="over SSH with one key and pinned hosts",
        ),
    ],
)
def test_the_address_is_made_from_fields(fields: dict[str, object], expected: str) -> None:
    assert uri(LibvirtSettings.model_validate(fields), "/keys") == expected


def test_keys_are_private_files_and_gone_afterwards() -> None:
    keys = PrivateFiles(TLS, CREDENTIALS)
    folder = Path(keys.path)
    found = {file.name: (file.read_bytes(), file.stat().st_mode & 0o777) for file in folder.iterdir()}
    keys.remove()
    assert found == {
        "clientcert.pem": (b"certificate\n", 0o600),
        "clientkey.pem": (b"key\n", 0o600),
        "cacert.pem": (b"authority\n", 0o600),
    }
    assert not folder.exists()


@pytest.mark.parametrize("missing", sorted(CREDENTIALS))
def test_a_missing_key_is_named(missing: str) -> None:
    with pytest.raises(CredentialsInvalid, match=missing):
        PrivateFiles(TLS, {name: content for name, content in CREDENTIALS.items() if name != missing})


@pytest.mark.parametrize(
    ("host", "port", "place"),
    [
        pytest.param("HV1.example", None, "hv1.example", id="the usual port is not written"),
        pytest.param("hv1.example", 2222, "[hv1.example]:2222", id="another port"),
        pytest.param("fd00::7", None, "fd00::7", id="IPv6"),
        pytest.param("fd00::7", 2222, "[fd00::7]:2222", id="IPv6 and another port"),
    ],
)
def test_the_hosts_keys_are_pinned_in_a_file_of_our_own(host: str, port: int | None, place: str) -> None:
    settings = LibvirtSettings(transport="ssh", host=host, port=port, user="root", known_hosts=(HOST_KEY,))
    files = PrivateFiles(settings, {"ssh-privatekey": b"key\r\n"})
    found = {file.name: file.read_text() for file in Path(files.path).iterdir()}
    files.remove()
    assert found == {"key": "key\n", "known_hosts": f"{place} {HOST_KEY}\n"}
    with pytest.raises(CredentialsInvalid, match="ssh-privatekey"):
        PrivateFiles(settings, {})


def test_work_begun_goes_on_after_shutdown_and_work_not_begun_is_cancelled() -> None:
    begun, end = threading.Event(), threading.Event()
    threads = Threads(1, name="test")

    def work() -> bool:
        begun.set()
        return end.wait(10)

    running = threads.submit(work)
    waiting = threads.submit(lambda: True)
    assert begun.wait(10)
    threads.shutdown()
    end.set()
    assert running.result(10)
    assert waiting.cancelled()


def test_what_fails_in_a_thread_fails_for_who_asked() -> None:
    with pytest.raises(ZeroDivisionError):
        Threads(1, name="test").submit(lambda: 1 // 0).result(10)


OURS = f"{'cd' * 4}-{'ab' * 16}"
OF_A_CLONE = f"vmclone-{OURS}-c1-vda.qcow2"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param(f"vmclone-base-{OURS}-f1-vda.quiesced.qcow2", ("f1", "vda", "Quiesced"), id="a token"),
        pytest.param(f"vmclone-base-{OURS}-f-1-sdb.off.qcow2", ("f-1", "sdb", "PoweredOff"), id="with a dash"),
    ],
)
def test_a_frozen_volumes_name_tells_its_token_and_kind(name: str, expected: tuple[str, str, str]) -> None:
    found = parse_name(name)
    assert found is not None
    assert (found.token, found.target, found.consistency.value) == expected
    assert (found.installation, found.vmclone_uid) == ("cd" * 4, str(uuid.UUID("ab" * 16)))


@pytest.mark.parametrize("name", ["disk.qcow2", "vmclone-base-x-f1-vda.off.qcow2", OF_A_CLONE])
def test_other_volumes_are_no_frozen_points(name: str) -> None:
    assert parse_name(name) is None


def test_only_addresses_on_the_vms_own_cards_count_ipv4_first() -> None:
    def card(mac: str, *addresses: str) -> dict[str, object]:
        return {"hwaddr": mac, "addrs": [{"addr": address} for address in addresses]}

    found = {
        "lo": card("00:00:00:00:00:00", "127.0.0.1"),
        "eth0": card("02:AA:00:00:00:01", "fe80::1", "fd00::5", "10.0.0.5"),
        "docker0": card("02:42:00:00:00:01", "172.17.0.1"),
        "eth1": {"hwaddr": "02:aa:00:00:00:02", "addrs": None},
    }
    assert usable_addresses(found, ("02:aa:00:00:00:01", "02:aa:00:00:00:02")) == ("10.0.0.5", "fd00::5")


def test_a_host_that_hangs_is_told_before_the_pass_that_waits_for_it_is_over() -> None:
    assert OPEN_SECONDS + CALL_SECONDS < PASS_SECONDS
