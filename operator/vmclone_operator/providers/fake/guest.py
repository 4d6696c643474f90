"""The guests of the fake: disks remember who they are, so a clone is its source until our command changes that.

Commands are known by their name; parameters and answers have exactly the form of `domain.guest`.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field

from vmclone_operator.domain.backend import GuestCommand, GuestResult

_REFUSED = 64


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


@dataclass(slots=True, kw_only=True)
class Guest:
    """What is on the disk of a VM and decides who it is."""

    machine_id: str
    hostname: str
    host_key: str
    authorized_keys: dict[str, list[str]] = field(default_factory=dict)
    """By user, as last written by a reset."""
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
        return GuestResult(exit_code=127, stdout="", stderr=f"{command.name}: not known to the fake guest")

    def _start_reset(self, stdin: str, now: float, machine_id: str) -> GuestResult:
        pairs = [tuple(line.split("=", 1)) for line in stdin.splitlines()]
        found = {pair[0]: pair[1] for pair in pairs if pair[0] != "key"}
        token = found.get("token", "")
        if pairs[-1:] != [("end", "1")] or not token or "hostname" not in found:
            return GuestResult(exit_code=_REFUSED, stdout="", stderr="the parameters did not arrive complete")
        if self.result is not None and self.result.token == token and not self.result.error:
            return GuestResult(exit_code=0, stdout="")
        if self.running is None or self.running.token != token:
            self.resets += 1
            self.result = None
            self.running = Reset(
                token=token,
                hostname=found["hostname"],
                user=found.get("user", ""),
                keys=[pair[1] for pair in pairs if pair[0] == "key"],
                done_at=now + self.reset_seconds,
                error=self.reset_failures.pop(0) if self.reset_failures else "",
            )
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
        reset.previous_host_key = self.host_key
        reset.made_host_key = host_key(f"{machine_id}/{reset.token}/{self.resets}")
        self.machine_id, self.host_key, self.hostname = machine_id, reset.made_host_key, reset.hostname
        if reset.keys:
            self.authorized_keys[reset.user] = list(reset.keys)

    def _probe(self, *, waits: bool, settled: bool) -> str:
        lines = ["vmclone-probe=1", f"system={'running' if settled else 'starting'}"]
        lines.append(f"cloud_init={'done' if settled else 'running'}")
        if waits:
            lines.append("network_wait=systemd-networkd-wait-online.service")
        lines += [f"hostname={self.hostname}", f"machine_id={self.machine_id}", *self._reset_lines(), "end=1"]
        return "\n".join(lines) + "\n"

    def _reset_lines(self) -> list[str]:
        if self.running is not None:
            return [f"identity_token={self.running.token}", "identity_state=running"]
        if self.result is None:
            return []
        done = self.result
        if done.error:
            return [f"identity_token={done.token}", "identity_state=failed", f"identity_error={done.error}"]
        return [
            f"identity_token={done.token}",
            "identity_state=done",
            *([f"previous_machine_id={done.previous_machine_id}"] if done.previous_machine_id else []),
            f"previous_ssh_host_key={done.previous_host_key}",
            f"made_ssh_host_key={done.made_host_key}",
            "ssh_server=yes",
            f"ssh_host_key={self.host_key}",
            f"journal_machine_id={self.machine_id}",
        ]
