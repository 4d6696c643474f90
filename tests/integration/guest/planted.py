"""A guest that looks like a fresh Disk clone after one boot: the source's identity is planted in its disk offline.

Booting a source first would cost a second emulated boot per profile and prove nothing more.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import uuid
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

import libvirt
from tests.support.canaries import PASSES, WORD, secret_files

from vmclone_lab import agent, domainxml, guestimage, layout, sources
from vmclone_lab.lab import Lab
from vmclone_lab.progress import wait_for
from vmclone_operator.domain.backend import GuestCommand, GuestResult, Seed
from vmclone_operator.providers.libvirt import domain_xml
from vmclone_operator.providers.libvirt import guest as guest_channel
from vmclone_operator.providers.libvirt.own_disks import own_disks
from vmclone_operator.providers.seed import seed_image

SOURCE_MACHINE_ID = "5eed" * 8
SOURCE_INSTANCE = "/var/lib/cloud/instances/the-source"
ANSWER_SECONDS = 60
_ACCOUNTS = {
    "/etc/passwd": "dev:x:1000:1000:Developer:/home/dev:/bin/bash\n",
    "/etc/group": "dev:x:1000:\n",
    "/etc/shadow": f"dev:$6${WORD}:19000:0:99999:7:::\n",
}
RUNNER = "golden-runner.service"
_UNIT = f"[Unit]\nDescription={RUNNER}\n[Service]\nExecStart=/bin/sleep infinity\n"
_SYSTEM_SECRETS = (
    "/etc/gitlab-runner/config.toml",
    "/etc/wireguard/wg0.conf",
    "/var/lib/tailscale/tailscaled.state",
    "/etc/kubernetes/admin.conf",
    "/var/lib/kubelet/pki/kubelet-client-current.pem",
    "/etc/krb5.keytab",
    "/etc/ssl/private/web.key",
    "/srv/app/db.env",
    "/etc/wpa_supplicant/wpa_supplicant.conf",
    "/var/spool/cron/crontabs/dev",
    "/var/mail/dev",
    "/usr/local/actions-runner/.credentials",
    "/etc/iscsi/nodes/a/b/default",
)
OWNERS_PATHS = ("/srv/app/*.env",)
ORDINARY_FILES = 1000


@dataclass(frozen=True)
class PlantedGuest:
    """A quarantined guest with its source's identity inside."""

    lab: Lab
    name: str
    uuid: str
    scratch: Path

    @property
    def source_host_key(self) -> str:
        """The host key that the source had: type and key."""
        return " ".join((self.scratch / "source_key.pub").read_text().split()[:2])

    def run(self, command: GuestCommand) -> GuestResult:
        """Run one command the way a provider does, and through the same channel: an identity takes over 100 KiB."""
        with contextlib.closing(libvirt.open("qemu:///system")) as connection:
            return guest_channel.run(connection.lookupByName(self.name), command, seconds=ANSWER_SECONDS)

    def shell(self, script: str) -> str:
        """Run a test's own look into the guest."""
        return self.run(GuestCommand(name="look", script=script)).stdout.strip()

    def wait_for_agent(self) -> None:
        """Wait until the guest agent answers."""
        wait_for(f"the agent of {self.name}", lambda: agent.answers(self.lab, self.name), 300, pause_seconds=0.5)

    @property
    def mac(self) -> str:
        """The MAC of its only interface."""
        return self.lab.run_inside(["virsh", "domiflist", self.name]).split()[-1]

    @property
    def own_disks(self) -> tuple[str, ...]:
        """Its disks as the provider names them to the guest."""
        return own_disks(domain_xml.parsed(self.lab.run_inside(["virsh", "dumpxml", self.name])))

    def connect(self) -> str:
        """Set the link up; return the address that the guest gets."""
        self.lab.run_inside(["virsh", "domif-setlink", self.name, self.mac, "up"])
        return wait_for(f"an address of {self.name}", self._address, 90, pause_seconds=0.5)

    def destroy(self) -> None:
        """Take the guest away."""
        self.lab.attempt_inside(["virsh", "destroy", self.name])
        self.lab.attempt_inside(["virsh", "undefine", self.name])
        for file in self.lab.paths.pool.glob(f"{self.name}*"):
            file.unlink()

    def _address(self) -> str | None:
        return agent.ipv4_address(agent.call(self.lab, self.name, "guest-network-get-interfaces") or [])


def boot(lab: Lab, profile: str, scratch: Path) -> PlantedGuest:
    """Define and start the guest with its link down; the agent may not answer yet."""
    guest = PlantedGuest(lab=lab, name=f"planted-{profile}", uuid=str(uuid.uuid4()), scratch=scratch)
    guest.destroy()
    image = guestimage.stage(lab, profile)
    _plant(image, scratch, lab.paths.pool / f"{guest.name}.qcow2")
    sources.ensure_user_key(lab)
    seed = seed_image(Seed(instance_id=guest.uuid, hostname=guest.name))
    (lab.paths.pool / f"{guest.name}-seed.img").write_bytes(seed)
    domain = scratch / "domain.xml"
    domain.write_text(_quarantined(guest, profile, kvm=lab.record.kvm))
    lab.run_inside(["virsh", "pool-refresh", layout.POOL_NAME])
    lab.run_inside(["virsh", "define", str(domain)])
    lab.run_inside(["virsh", "start", guest.name])
    return guest


def _quarantined(guest: PlantedGuest, profile: str, *, kvm: bool) -> str:
    wish = domainxml.SourceDomain(name=guest.name, uuid=guest.uuid, memory_mib=512, profile=profile, kvm=kvm)
    domain = ET.fromstring(domainxml.render(wish))  # noqa: S314 - rendered a line above
    for interface in domain.iter("interface"):
        ET.SubElement(interface, "link", state="down")
    return ET.tostring(domain, encoding="unicode")


def _plant(image: Path, scratch: Path, target: Path) -> None:
    """Write what a source's disk holds into the image; it is one bare ext4 file system."""
    raw, listing = scratch / "disk.raw", scratch / "debugfs"
    _call("qemu-img", "convert", "-O", "raw", str(image), str(raw))
    commands = []
    for number, (path, text) in enumerate(_source_files(scratch, raw).items()):
        file = scratch / f"planted-{number}"
        file.write_text(text)
        commands += [f"mkdir {parent}" for parent in reversed(Path(path).parents) if str(parent) != "/"]
        commands += [f"rm {path}", f"write {file} {path}", f"sif {path} mode 0100600"]
    commands += _ordinary(scratch)
    commands += [f"symlink /etc/systemd/system/multi-user.target.wants/{RUNNER} /etc/systemd/system/{RUNNER}"]
    commands += [f"sif {path} mode 0100644" for path in ("/etc/machine-id", "/etc/passwd", "/etc/group")]
    listing.write_text("\n".join(commands) + "\n")
    _call("debugfs", "-w", "-f", str(listing), str(raw))
    _call("qemu-img", "convert", "-O", "qcow2", str(raw), str(target))


def _source_files(scratch: Path, raw: Path) -> dict[str, str]:
    key = scratch / "source_key"
    _call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
    accounts = {path: _read(raw, path) + line for path, line in _ACCOUNTS.items()}
    return accounts | {
        "/etc/machine-id": SOURCE_MACHINE_ID + "\n",
        "/var/lib/dbus/machine-id": SOURCE_MACHINE_ID + "\n",
        "/etc/ssh/ssh_host_ed25519_key": key.read_text(),
        "/etc/ssh/ssh_host_ed25519_key.pub": key.with_suffix(".pub").read_text(),
        "/etc/ssh/ssh_host_rsa_key": "an old key of another kind\n",
        f"/var/log/journal/{SOURCE_MACHINE_ID}/system.journal": "",
        f"{SOURCE_INSTANCE}/user-data.txt": "the source's user-data\n",
        "/var/lib/dhcp/dhclient.leases": "lease of the source\n",
        "/etc/udev/rules.d/70-persistent-net.rules": "# the source's\n",
        "/home/dev/.ssh/authorized_keys": json.dumps("a key that the source let in") + "\n",
        f"/etc/systemd/system/{RUNNER}": _UNIT,
        "/etc/vmclone/needs-reboot": "",
        "/etc/iscsi/initiatorname.iscsi": "InitiatorName=iqn.1993-08.org.debian:01:5eed\n",
        "/etc/nvme/hostnqn": "nqn.2014-08.org.nvmexpress:uuid:the-source\n",
        "/etc/nvme/hostid": "the-source\n",
        "/etc/iscsi/iscsid.conf": f"node.startup = manual\nnode.session.auth.password = {WORD}\n",
        **_home("/home/dev"),
        **_home("/root"),
        **{path: f"{WORD} {path}\n" for path in _SYSTEM_SECRETS},
    }


def _home(home: str) -> dict[str, str]:
    """Return canaries, look-alikes and ordinary files; debugfs takes names without blanks."""
    canaries = {name: content for name, (_, content) in secret_files().items() if " " not in name}
    return {f"{home}/{name}": content for name, content in {**canaries, **PASSES}.items()}


def _ordinary(scratch: Path) -> list[str]:
    """Return debugfs's commands for a work tree of many texts."""
    text = scratch / "ordinary"
    text.write_text("def answer() -> int:\n    return 42  # said https://example.com/deep?thought\n" * 40)
    return ["mkdir /home/dev/work", *(f"write {text} /home/dev/work/{name}.py" for name in range(ORDINARY_FILES))]


def _read(raw: Path, path: str) -> str:
    return subprocess.run(["debugfs", "-R", f"cat {path}", str(raw)], check=True, capture_output=True, text=True).stdout


def _call(*argv: str) -> None:
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
