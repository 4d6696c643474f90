"""The identity scripts in a real guest: one quarantined boot per profile, seen from inside and from outside."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.integration.guest import planted
from tests.support.canaries import PASSES, WORD

from vmclone_lab import guestimage
from vmclone_lab.lab import Lab
from vmclone_lab.layout import Layout
from vmclone_lab.progress import wait_for
from vmclone_operator.domain.backend import GuestCommand
from vmclone_operator.domain.guest import (
    PROBE,
    RELEASE_NETWORK_WAIT,
    GuestProbe,
    IdentityState,
    ScrubRequest,
    identity_command,
    identity_problems,
    parse_probe,
    scrub_problem,
)
from vmclone_operator.homecopy.scrub import scrub_program

pytestmark = pytest.mark.guest
TOKEN = "attempt-1"
BOOT_SECONDS = 400
CANARY = f"LC_ALL=C grep -aF {WORD[:6]}''{WORD[6:]}"
"""A search that does not find itself: the guest agent logs the commands that it runs."""
IDENTITY_SECONDS = 240
SCRUB = ScrubRequest(program=scrub_program(), paths=planted.OWNERS_PATHS, disable_units=(planted.RUNNER,))


@dataclass(frozen=True)
class Reset:
    """A guest whose identity was reset, and what its probes said before and after."""

    guest: planted.PlantedGuest
    hostname: str
    command: GuestCommand
    before: GuestProbe
    after: GuestProbe


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab(Layout.from_environment(os.environ))


@pytest.fixture(scope="module", params=guestimage.PROFILES)
def reset(
    request: pytest.FixtureRequest,
    lab: Lab,
    tmp_path_factory: pytest.TempPathFactory,
    count_boots: Callable[[int], None],
) -> Iterator[Reset]:
    guest = planted.boot(lab, request.param, tmp_path_factory.mktemp("planted"))
    count_boots(1)
    try:
        guest.wait_for_agent()
        yield _reset(guest, f"dev-1-{request.param}")
    finally:
        guest.destroy()


def _probe(guest: planted.PlantedGuest) -> GuestProbe:
    return parse_probe(guest.run(PROBE).stdout)


def _reset(guest: planted.PlantedGuest, hostname: str) -> Reset:
    """Do what the engine does: probe until booted, reset, probe until it is done."""

    def booted() -> GuestProbe | None:
        probe = _probe(guest)
        if probe.waiting_for_network:
            guest.run(RELEASE_NETWORK_WAIT)
        return probe if probe.booted else None

    before = wait_for("the boot", booted, BOOT_SECONDS, pause_seconds=1)
    command = identity_command(
        token=TOKEN,
        hostname=hostname,
        user="dev",
        authorized_keys=[_user_key(guest.lab)],
        scrub=SCRUB,
        own_disks=guest.own_disks,
    )
    started = guest.run(command)
    assert started.exit_code == 0, started.stderr
    after = _wait_until_done(guest, TOKEN)
    return Reset(guest=guest, hostname=hostname, command=command, before=before, after=after)


def _wait_until_done(guest: planted.PlantedGuest, token: str) -> GuestProbe:
    def done() -> GuestProbe | None:
        probe = _probe(guest)
        assert probe.state_of(token) is not IdentityState.FAILED, probe.identity_error
        return probe if probe.state_of(token) is IdentityState.DONE else None

    return wait_for("the identity", done, IDENTITY_SECONDS, pause_seconds=0.5)


def _user_key(lab: Lab) -> str:
    return (lab.paths.keys / "dev_ed25519.pub").read_text().strip()


def test_every_value_is_the_clones_own(reset: Reset) -> None:
    assert identity_problems(reset.after, token=TOKEN, hostname=reset.hostname, siblings=()) == ()
    assert reset.after.previous_machine_id_hash == reset.before.machine_id_hash
    assert reset.after.machine_id_hash != reset.before.machine_id_hash
    assert reset.guest.source_host_key in reset.after.previous_ssh_host_keys
    assert reset.guest.source_host_key not in reset.after.ssh_host_keys


def test_the_machine_id_is_that_of_the_vm_everywhere(reset: Reset) -> None:
    """PID 1 remembers the old one, and D-Bus keeps a copy, unless both are told."""
    question = "busctl call org.freedesktop.systemd1 / org.freedesktop.DBus.Peer GetMachineId"
    answers = reset.guest.shell(f"cat /etc/machine-id /var/lib/dbus/machine-id; {question}").splitlines()
    own = reset.guest.uuid.replace("-", "")
    assert answers == [own, own, f's "{own}"']


def test_storage_knows_the_clone_by_names_of_its_own(reset: Reset) -> None:
    own = reset.guest.uuid
    look = "cat /etc/iscsi/initiatorname.iscsi /etc/nvme/hostnqn /etc/nvme/hostid; head -1 /etc/iscsi/iscsid.conf"
    assert reset.guest.shell(look).splitlines() == [
        f"InitiatorName=iqn.1993-08.org.debian:01:{own[-12:]}",
        f"nqn.2014-08.org.nvmexpress:uuid:{own}",
        own,
        "node.startup = manual",
    ]


def test_nothing_of_the_source_is_left_where_the_identity_lived(reset: Reset) -> None:
    look = "ls -d /var/log/journal/* /var/lib/cloud/instances/* /etc/ssh/ssh_host_* /var/lib/dhcp/*.lease* 2>&1"
    found = [line for line in reset.guest.shell(look).splitlines() if "No such file" not in line]
    assert sorted(Path(line).name for line in found) == sorted(
        [reset.guest.uuid, reset.guest.uuid.replace("-", ""), "ssh_host_ed25519_key", "ssh_host_ed25519_key.pub"]
    )


def test_only_the_given_keys_let_the_user_in(reset: Reset) -> None:
    look = "cat /home/dev/.ssh/authorized_keys; stat -c '%U %a' /home/dev/.ssh /home/dev/.ssh/authorized_keys"
    assert reset.guest.shell(look).splitlines() == [_user_key(reset.guest.lab), "dev 700", "dev 600"]


def test_the_disk_is_scrubbed_before_the_link_goes_up(reset: Reset) -> None:
    report = reset.after.scrub
    assert scrub_problem(report, SCRUB) is None
    assert report.left_alone == ()
    assert (report.engine, report.discarded, report.units) == ("python", True, 1)
    assert report.files >= 2 * 200
    assert reset.guest.shell(f"{CANARY} -rl /home /root /etc /var /srv /opt") == ""


@pytest.mark.parametrize("reset", ["slim"], indirect=True)
def test_the_raw_disk_holds_no_canary_any_more(reset: Reset) -> None:
    """Deleting only frees blocks: whoever has the disk could still read them.

    Of the stock guest this is not promised: docs/limits.md says what was seen there.
    """
    reset.guest.shell("sync")
    disk = reset.guest.lab.paths.pool / f"{reset.guest.name}.qcow2"
    assert subprocess.run(["grep", "-aqF", WORD, str(disk)], env={"LC_ALL": "C"}, check=False).returncode == 1


def test_what_people_work_with_is_as_it_was(reset: Reset) -> None:
    assert reset.guest.shell("ls /home/dev/work | wc -l") == str(planted.ORDINARY_FILES)
    names = " ".join(PASSES)
    missing = f"cd /home/dev && for name in {names}; do [ -f $name ] || echo $name; done"
    assert reset.guest.shell(missing) == ""


def test_the_owners_units_are_masked_and_stopped_and_passwords_are_gone(reset: Reset) -> None:
    """A runner's unit lies in /etc itself, where systemctl refuses to mask it."""
    look = f"systemctl is-enabled {planted.RUNNER}; systemctl is-active {planted.RUNNER}; grep ^dev: /etc/shadow"
    assert reset.guest.shell(look).splitlines() == ["masked", "inactive", "dev:*:19000:0:99999:7:::"]


def test_a_guest_that_must_be_rebooted_says_so_until_it_was(reset: Reset) -> None:
    assert reset.after.needs_reboot
    result = "/var/lib/vmclone/identity/result"
    reset.guest.shell(f"cp {result} {result}.kept; sed -i 's/^reboot_from=.*/reboot_from=an-earlier-boot/' {result}")
    assert not _probe(reset.guest).needs_reboot
    reset.guest.shell(f"mv {result}.kept {result}")


def test_the_journal_finds_what_is_written_now(reset: Reset) -> None:
    written = "systemd-cat -t vmclone-test echo written; journalctl --sync; journalctl -q -n 1 -o cat -t vmclone-test"
    assert reset.guest.shell(written) == "written"


def test_the_clone_is_delivered_without_failed_units(reset: Reset) -> None:
    assert reset.guest.shell("systemctl --failed --no-legend --plain") == ""


def test_a_repeat_with_the_same_token_changes_nothing(reset: Reset) -> None:
    """A crash between the command and the status write must not cost a second identity."""
    assert reset.guest.run(reset.command).exit_code == 0
    assert _probe(reset.guest) == reset.after


def test_once_connected_the_clone_is_itself_on_the_wire(reset: Reset) -> None:
    lab, address = reset.guest.lab, reset.guest.connect()
    scanned = lab.attempt_inside(["ssh-keyscan", "-T", "20", address], timeout_seconds=60).stdout
    shown = [" ".join(line.split()[1:3]) for line in scanned.splitlines() if not line.startswith("#")]
    assert tuple(shown) == reset.after.ssh_host_keys
    known_hosts = reset.guest.scratch / "known_hosts"
    known_hosts.write_text(f"{address} {shown[0]}\n")
    key = str(lab.paths.keys / "dev_ed25519")
    words = ["ssh", "-o", f"UserKnownHostsFile={known_hosts}", "-o", "BatchMode=yes", "-i", key]
    login = lab.attempt_inside([*words, f"dev@{address}", "hostname"], timeout_seconds=60)
    assert login.stdout.strip() == reset.hostname, login.stderr
    leases = lab.run_inside(["virsh", "net-dhcp-leases", "default", "--mac", reset.guest.mac]).splitlines()
    assert [line.split()[5] for line in leases if "ipv4" in line] == [reset.hostname]


def test_a_reset_that_was_killed_runs_again_from_the_beginning(reset: Reset) -> None:
    """Last in this module: it gives the guest another identity."""
    again = identity_command(
        token="attempt-2", hostname="dev-1-again", user="dev", authorized_keys=[], scrub=SCRUB, needs_reboot=True
    )
    reset.guest.shell("for name in 1 2 3; do echo later >/home/dev/work/$name.p12; done")
    kill = f"({again.script})\nsleep 1\nsystemctl kill -s KILL vmclone-identity.service"
    reset.guest.run(replace(again, script=kill))
    assert _probe(reset.guest).state_of("attempt-2") is IdentityState.NONE
    assert reset.guest.run(again).exit_code == 0
    probe = _wait_until_done(reset.guest, "attempt-2")
    assert identity_problems(probe, token="attempt-2", hostname="dev-1-again", siblings=()) == ()
    assert probe.previous_ssh_host_keys == reset.after.ssh_host_keys
    assert scrub_problem(probe.scrub, SCRUB) is None
    assert reset.guest.shell("ls /home/dev/work/*.p12 /home/dev/.ssh") == ""
