"""The guests of the fake: disks remember who they are, so a clone is its source until our command changes that.

Commands are known by their name; parameters and answers have exactly the form of `domain.guest`.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field

from vmclone_operator.domain.backend import GuestCommand, GuestResult

_REFUSED = 64
_COPIED = 66
_COPY_ON_WRITE = ("btrfs", "zfs", "bcachefs")


def host_key(origin: str) -> str:
    """Return a well-formed ed25519 public key, another for each origin."""
    kind = b"ssh-ed25519"
    raw = b"".join(len(part).to_bytes(4, "big") + part for part in (kind, hashlib.sha256(origin.encode()).digest()))
    return f"ssh-ed25519 {base64.b64encode(raw).decode()}"


@dataclass(slots=True, kw_only=True)
class Reset:
    """An identity reset: running until `done_at`, then a result on the guest's disk."""

    token: str
    hostname: str
    done_at: float
    user: str = ""
    keys: list[str] = field(default_factory=list)
    error: str = ""
    previous_machine_id: str = ""
    previous_host_key: str = ""
    made_host_key: str = ""
    keeps_host_key: bool = False
    """A clone that cloud-init gave its key keeps it."""
    scrub: str = ""
    """The digest of the scrub that was asked for with it."""
    scope: str = ""
    masks: list[str] = field(default_factory=list)
    files: int = 0
    needs_reboot: bool = False

    @classmethod
    def wanted(cls, stdin: str, done_at: float, error: str) -> Reset | None:
        """Return the reset that these parameters ask for, or nothing when they are not complete."""
        pairs = [line.split("=", 1) for line in stdin.splitlines()]
        found = {key: value for key, value in pairs if key != "key"}
        if pairs[-1:] != [["end", "1"]] or not found.get("token") or "hostname" not in found:
            return None
        return cls(
            token=found["token"],
            hostname=found["hostname"],
            user=found.get("user", ""),
            keys=[value for key, value in pairs if key == "key"],
            done_at=done_at,
            error=error,
            scrub=found.get("scrub", ""),
            scope=found.get("scrub_scope", ""),
            masks=[value for key, value in pairs if key == "scrub_mask"],
            needs_reboot="needs_reboot" in found,
            keeps_host_key="keep_host_key" in found,
        )

    def covers(self, wanted: Reset) -> bool:
        """Return whether this one, done, is what is wanted: a repeat changes nothing."""
        return self.token == wanted.token and not self.error and wanted.scrub in ("", self.scrub)

    def scrub_lines(self) -> list[str]:
        """Return what the guest says of the scrub once it ended."""
        if not self.scrub:
            return []
        return [
            f"scrub_request={self.scrub}",
            f"scrub_scope={self.scope}",
            f"scrub_units={len(self.masks)}",
            f"scrub_state={'failed' if self.error else 'done'}",
            f"scrub_files={self.files}",
            "scrub_left=0",
            "scrub_engine=python",
            "scrub_discarded=yes",
            *([f"scrub_error={self.error}"] if self.error else []),
        ]


def _digest(key: str) -> str:
    """Return the SHA-256 of a key's own bytes, as a guest computes it."""
    return hashlib.sha256(base64.b64decode(key.split()[1])).hexdigest()


@dataclass(slots=True, kw_only=True)
class Guest:
    """What is on the disk of a VM and decides who it is."""

    machine_id: str
    hostname: str
    host_key: str
    authorized_keys: dict[str, list[str]] = field(default_factory=dict)
    """By user, as last written by a reset."""
    copy_keys: dict[str, str] = field(default_factory=dict)
    """By user, the line that lets a home copy in."""
    key_refusals: list[str] = field(default_factory=list)
    """Why the next changes of its keys are refused, one each; for tests."""
    home_copied: str = ""
    """The incarnation whose first home copy was done."""
    secrets: int = 0
    """Files on its disk that a scrub takes."""
    file_system: str = "ext4"
    masked: set[str] = field(default_factory=set)
    """Units that a scrub masked."""
    boot_error: str = ""
    """What its console says instead of a login: this disk does not boot."""
    declares_reboot: bool = False
    """It says of itself that it must be rebooted after a reset."""
    waits_for_network: bool = False
    """A stock distribution: with its links down the boot hangs until told not to wait."""
    wait_released: bool = False
    reset_seconds: float = 0
    """How long an identity reset takes."""
    reset_failures: list[str] = field(default_factory=list)
    """Why the next identity resets fail, one each; for tests."""
    running: Reset | None = None
    result: Reset | None = None
    resets: int = 0

    def power_off(self, now: float, machine_id: str) -> None:
        """Forget what only memory held: a reset that was running has died."""
        self._settle(now, machine_id)
        self.running = None
        self.wait_released = False
        if self.result is not None:
            self.result.needs_reboot = False

    def execute(
        self, command: GuestCommand, *, now: float, machine_id: str, connected: bool, settled: bool
    ) -> GuestResult:
        """Run one of our commands; `machine_id` is what systemd derives from this VM's UUID."""
        self._settle(now, machine_id)
        if command.name == "probe":
            waits = self.waits_for_network and not self.wait_released and not connected
            return GuestResult(exit_code=0, stdout=self._probe(waits=waits, settled=settled and not waits))
        if command.name == "release-network-wait":
            self.wait_released = True
            return GuestResult(exit_code=0, stdout="")
        if command.name == "identity":
            return self._start_reset(command.stdin, now, machine_id)
        if command.name == "copy-access":
            return self._copy_access(command.stdin)
        if command.name == "access-keys":
            return self._access_keys(command.stdin)
        return GuestResult(exit_code=127, stdout="", stderr=f"{command.name}: not known to the fake guest")

    def _copy_access(self, stdin: str) -> GuestResult:
        """Let the key of one home copy in, or take all of them out."""
        words = dict(line.split("=", 1) for line in stdin.splitlines())
        if words.get("unless") and words["unless"] == self.home_copied:
            return GuestResult(exit_code=_COPIED, stdout="")
        self.home_copied = words.get("copied", self.home_copied)
        self.copy_keys = {words["user"]: words["line"]} if "line" in words else {}
        return GuestResult(exit_code=0, stdout="")

    def _access_keys(self, stdin: str) -> GuestResult:
        """Put the keys of people in, and take out those whose digest is named."""
        if self.key_refusals:
            return GuestResult(exit_code=_REFUSED, stdout="", stderr=self.key_refusals.pop(0))
        words = [line.split("=", 1) for line in stdin.splitlines()]
        user = next(value for name, value in words if name == "user")
        drops = {value for name, value in words if name == "drop"}
        new = [value for name, value in words if name == "key"]
        blobs = {key.split()[1] for key in new}
        kept = [k for k in self.authorized_keys.get(user, []) if _digest(k) not in drops and k.split()[1] not in blobs]
        self.authorized_keys[user] = [*kept, *new]
        ours = {value for name, value in words if name == "ours"}
        for former in [value for name, value in words if name == "former" and value in self.authorized_keys]:
            self.authorized_keys[former] = [k for k in self.authorized_keys[former] if _digest(k) not in ours]
        return GuestResult(exit_code=0, stdout="")

    def _start_reset(self, stdin: str, now: float, machine_id: str) -> GuestResult:
        error = self.reset_failures[0] if self.reset_failures else ""
        wanted = Reset.wanted(stdin, now + self.reset_seconds, error)
        if wanted is None:
            return GuestResult(exit_code=_REFUSED, stdout="", stderr="the parameters did not arrive complete")
        if self.result is not None and self.result.covers(wanted):
            return GuestResult(exit_code=0, stdout="")
        if self.running is None or self.running.token != wanted.token:
            self.resets += 1
            del self.reset_failures[:1]
            self.result, self.running = None, wanted
            self._settle(now, machine_id)
        return GuestResult(exit_code=0, stdout="")

    def _settle(self, now: float, machine_id: str) -> None:
        """Let a reset whose time has come take effect; after that the daemons run with the new values."""
        reset = self.running
        if reset is None or now < reset.done_at:
            return
        self.running, self.result = None, reset
        if reset.error:
            return
        reset.previous_machine_id = "" if self.machine_id == machine_id else self.machine_id
        kept = self.host_key if reset.keeps_host_key else ""
        reset.previous_host_key = "" if kept else self.host_key
        reset.made_host_key = kept or host_key(f"{machine_id}/{reset.token}/{self.resets}")
        self.machine_id, self.host_key, self.hostname = machine_id, reset.made_host_key, reset.hostname
        reset.needs_reboot = reset.needs_reboot or self.declares_reboot
        if reset.scrub:
            self._scrub(reset)
        if reset.keys:
            self.authorized_keys[reset.user] = list(reset.keys)

    def _scrub(self, reset: Reset) -> None:
        reset.files, self.secrets = self.secrets, 0
        self.masked.update(reset.masks)
        self.authorized_keys.clear()

    def _probe(self, *, waits: bool, settled: bool) -> str:
        lines = ["vmclone-probe=1", f"system={'running' if settled else 'starting'}"]
        lines.append(f"cloud_init={'done' if settled else 'running'}")
        if waits:
            lines.append("network_wait=systemd-networkd-wait-online.service")
        lines += [f"hostname={self.hostname}", f"machine_id={self.machine_id}", *self._reset_lines(), "end=1"]
        return "\n".join(lines) + "\n"

    def _reset_lines(self) -> list[str]:
        if self.running is not None:
            running = [f"identity_token={self.running.token}", "identity_state=running"]
            return [*running, *(["scrub_state=running"] if self.running.scrub else [])]
        if self.result is None:
            return []
        done = self.result
        if done.error:
            failed = [f"identity_token={done.token}", "identity_state=failed", f"identity_error={done.error}"]
            return [*failed, *done.scrub_lines()]
        return [
            f"identity_token={done.token}",
            "identity_state=done",
            *([f"previous_machine_id={done.previous_machine_id}"] if done.previous_machine_id else []),
            *([f"previous_ssh_host_key={done.previous_host_key}"] if done.previous_host_key else []),
            f"made_ssh_host_key={done.made_host_key}",
            "ssh_server=yes",
            f"ssh_host_key={self.host_key}",
            f"journal_machine_id={self.machine_id}",
            *done.scrub_lines(),
            *(["scrub_unverified=" + self.file_system] if done.scrub and self.file_system in _COPY_ON_WRITE else []),
            *(["needs_reboot=yes"] if done.needs_reboot else []),
            *([f"home_copied={self.home_copied}"] if self.home_copied else []),
        ]
