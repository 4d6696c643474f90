"""What a guest's probe answered, and whether that is the identity it was given.

The guest belongs to others: nothing it says is used before its shape is checked, sizes are capped, and
machine-ids (confidential by their own manual page) leave this module only as hashes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from vmclone_operator.domain.errors import AgentNotReady, CapabilityMissing
from vmclone_operator.domain.guest_scrub import NO_SCRUB, ScrubReport, ScrubState

_MAX_CHARACTERS = 64 * 1024
_MAX_VALUES = 8
_MAX_KEY_CHARACTERS = 4096
_MACHINE_ID = re.compile(r"[0-9a-f]{32}")
_HOSTNAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TOKEN = re.compile(r"[A-Za-z0-9._-]{1,64}")
_UNIT = re.compile(r"[A-Za-z0-9@._:\\-]{1,128}")
_WORD = re.compile(r"[A-Za-z0-9.+-]{1,32}")
_PLACE = re.compile(r"/[ -~]{0,200}")
_NUMBER = re.compile(r"[0-9]{1,9}")
_SYSTEM_STATES = frozenset({"initializing", "starting", "running", "degraded", "maintenance", "stopping"})
_BOOTED = frozenset({"running", "degraded"})
_KEY_TYPES = re.compile(r"ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)")


class IdentityState(StrEnum):
    """How the identity reset stands."""

    NONE = "None"
    """Not started, or it died: send the command (again)."""
    RUNNING = "Running"
    DONE = "Done"
    FAILED = "Failed"
    """It says why; sending the command again starts over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestProbe:
    """One answer of `PROBE`. Empty text means: not known (yet)."""

    system_state: str
    """As systemd says, or `unknown`."""
    cloud_init_done: bool
    """True also where cloud-init is absent or switched off."""
    network_waits: tuple[str, ...] = ()
    """Units that hold up the boot until a network is there."""
    hostname: str = ""
    """As the kernel says."""
    machine_id_hash: str = ""
    """sha256, in hex, of the machine-id in effect; so are the other hashes."""
    identity_token: str = ""
    identity_state: IdentityState = IdentityState.NONE
    identity_error: str = ""
    previous_machine_id_hash: str = ""
    """Of the machine-id before the reset; empty when that was already the VM's own."""
    journal_machine_id_hash: str = ""
    """Of the machine-id that the running journald writes into new entries."""
    ssh_server: bool = False
    """False where no sshd is installed or it is switched off; known once the identity is done."""
    made_ssh_host_key: str = ""
    """The key that the reset made."""
    ssh_host_keys: tuple[str, ...] = ()
    """Public keys as the running sshd presents them: type and key."""
    previous_ssh_host_keys: tuple[str, ...] = ()
    scrub: ScrubReport = NO_SCRUB
    needs_reboot: bool = False
    """True from the end of the reset until the guest has been rebooted, where it said that it must be."""
    home_copied: str = ""
    """The incarnation whose first home copy was done; a clone of this clone remembers it as well."""

    @property
    def booted(self) -> bool:
        """Return whether no start job is left and cloud-init has finished."""
        return self.system_state in _BOOTED and self.cloud_init_done

    @property
    def waiting_for_network(self) -> bool:
        """Return whether the boot is held up by waiting for a network."""
        return bool(self.network_waits)

    def state_of(self, token: str) -> IdentityState:
        """Return how the reset with this token stands; another token's result says nothing about it."""
        return self.identity_state if self.identity_token == token else IdentityState.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownIdentity:
    """The identity of another VM that a clone must not share: a sibling's, or the source's."""

    name: str
    """How people call it."""
    hostname: str = ""
    machine_id_hash: str = ""
    ssh_host_keys: tuple[str, ...] = ()


def parse_probe(stdout: str) -> GuestProbe:
    """Read a probe's answer; a value of the wrong shape counts as not known.

    Raises AgentNotReady when the answer is not whole, CapabilityMissing when the guest has no systemd.
    """
    answers = _answers(stdout)
    if answers.one("system") == "unsupported":
        raise CapabilityMissing("the guest does not run systemd; its identity cannot be reset and proven")
    return GuestProbe(
        system_state=answers.system_state(),
        cloud_init_done=answers.one("cloud_init") == "done",
        network_waits=answers.matching("network_wait", _UNIT),
        hostname=answers.one("hostname", _HOSTNAME),
        machine_id_hash=answers.hash("machine_id"),
        identity_token=answers.one("identity_token", _TOKEN),
        identity_state=answers.identity_state(),
        identity_error=answers.text("identity_error"),
        previous_machine_id_hash=answers.hash("previous_machine_id"),
        journal_machine_id_hash=answers.hash("journal_machine_id"),
        ssh_server=answers.one("ssh_server") == "yes",
        made_ssh_host_key=next(iter(answers.keys("made_ssh_host_key")), ""),
        ssh_host_keys=answers.keys("ssh_host_key"),
        previous_ssh_host_keys=answers.keys("previous_ssh_host_key"),
        scrub=answers.scrub(),
        needs_reboot=answers.one("needs_reboot") == "yes",
        home_copied=answers.one("home_copied", _TOKEN),
    )


class _Answers:
    """The lines of an answer by key, each value checked when it is taken."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._values: dict[str, list[str]] = {}
        for line in lines:
            key, _, value = line.partition("=")
            self._values.setdefault(key, []).append(value)

    def one(self, key: str, pattern: re.Pattern[str] | None = None) -> str:
        values = self._values.get(key, [])
        if len(values) != 1 or (pattern and not pattern.fullmatch(values[0])):
            return ""
        return values[0]

    def matching(self, key: str, pattern: re.Pattern[str]) -> tuple[str, ...]:
        return tuple(value for value in self._values.get(key, [])[:_MAX_VALUES] if pattern.fullmatch(value))

    def hash(self, key: str) -> str:
        value = self.one(key, _MACHINE_ID)
        return hashlib.sha256(value.encode()).hexdigest() if value else ""

    def keys(self, key: str) -> tuple[str, ...]:
        return tuple(value for value in self._values.get(key, [])[:_MAX_VALUES] if _is_public_key(value))

    def text(self, key: str) -> str:
        return "".join(letter for letter in self.one(key) if letter.isascii() and letter.isprintable())[:256]

    def system_state(self) -> str:
        state = self.one("system")
        return state if state in _SYSTEM_STATES else "unknown"

    def number(self, key: str) -> int:
        return int(self.one(key, _NUMBER) or 0)

    def scrub(self) -> ScrubReport:
        state = self.one("scrub_state").capitalize()
        return ScrubReport(
            state=ScrubState(state) if state in list(ScrubState) else ScrubState.NONE,
            scope=self.one("scrub_scope", _WORD),
            request=self.one("scrub_request", _WORD),
            files=self.number("scrub_files"),
            units=self.number("scrub_units"),
            left=self.number("scrub_left"),
            unverified=self.matching("scrub_unverified", _WORD),
            left_alone=self.matching("scrub_left_alone", _PLACE),
            engine=self.one("scrub_engine", _WORD),
            discarded=self.one("scrub_discarded") == "yes",
            error=self.text("scrub_error"),
        )

    def identity_state(self) -> IdentityState:
        state = self.one("identity_state").capitalize()
        return IdentityState(state) if state in list(IdentityState) else IdentityState.NONE


def _answers(stdout: str) -> _Answers:
    lines = stdout[:_MAX_CHARACTERS].splitlines()
    if len(stdout) > _MAX_CHARACTERS or not lines or (lines[0], lines[-1]) != ("vmclone-probe=1", "end=1"):
        raise AgentNotReady("the guest's answer to our probe is not whole", retry_after=timedelta(seconds=15))
    return _Answers(lines)


def _is_public_key(value: str) -> bool:
    """Return whether the text is a type and a key of that very type."""
    kind, _, blob = value.partition(" ")
    if not _KEY_TYPES.fullmatch(kind) or len(blob) > _MAX_KEY_CHARACTERS:
        return False
    try:
        raw = base64.b64decode(blob, validate=True)
    except (binascii.Error, ValueError):
        return False
    return raw.startswith(len(kind).to_bytes(4, "big") + kind.encode())


def identity_problems(
    probe: GuestProbe, *, token: str, hostname: str, siblings: Collection[KnownIdentity]
) -> tuple[str, ...]:
    """Return a sentence for each value that is not the clone's own; empty means: the identity is proven."""
    return tuple(sentence for _, sentence in _findings(probe, token=token, hostname=hostname, siblings=siblings))


def identity_reason(probe: GuestProbe, *, token: str, hostname: str, siblings: Collection[KnownIdentity]) -> str:
    """Return the condition reason of the first problem, or an empty text when there is none."""
    found = next(_findings(probe, token=token, hostname=hostname, siblings=siblings), None)
    return found[0] if found else ""


def _findings(
    probe: GuestProbe, *, token: str, hostname: str, siblings: Collection[KnownIdentity]
) -> Iterator[tuple[str, str]]:
    if probe.state_of(token) is not IdentityState.DONE:
        detail = f": {probe.identity_error}" if probe.identity_error else ""
        yield "IdentityNotReset", f"the guest did not finish its identity reset{detail}"
        return
    yield from _machine_id_findings(probe, siblings)
    yield from _host_key_findings(probe, siblings)
    yield from _hostname_findings(probe, hostname, siblings)


def _machine_id_findings(probe: GuestProbe, siblings: Collection[KnownIdentity]) -> Iterator[tuple[str, str]]:
    mine = probe.machine_id_hash
    if not mine:
        yield "MachineIDMissing", "the guest has no valid machine-id"
        return
    if mine == probe.previous_machine_id_hash:
        yield "DuplicateMachineID", "the machine-id is still the source's"
    for other in siblings:
        if mine == other.machine_id_hash:
            yield "DuplicateMachineID", f"the machine-id is also that of {other.name}"
    if probe.journal_machine_id_hash != mine:
        yield "StaleMachineID", "the running journald does not write under the new machine-id"


def _host_key_findings(probe: GuestProbe, siblings: Collection[KnownIdentity]) -> Iterator[tuple[str, str]]:
    if not probe.ssh_server:
        return
    shown = set(probe.ssh_host_keys)
    if not shown:
        yield "HostKeyMissing", "the running sshd presents no ed25519 host key"
    elif shown & set(probe.previous_ssh_host_keys):
        yield "DuplicateHostKey", "the running sshd still presents an SSH host key of the source"
    elif shown != {probe.made_ssh_host_key}:
        yield "HostKeyMismatch", "the running sshd presents another SSH host key than the one that was made for it"
    for other in siblings:
        if shown & set(other.ssh_host_keys):
            yield "DuplicateHostKey", f"the SSH host key is also that of {other.name}"


def _hostname_findings(
    probe: GuestProbe, hostname: str, siblings: Collection[KnownIdentity]
) -> Iterator[tuple[str, str]]:
    if probe.hostname != hostname:
        yield "HostnameMismatch", f"the hostname is {probe.hostname or 'not known'}, not {hostname}"
    for other in siblings:
        if probe.hostname and probe.hostname == other.hostname:
            yield "DuplicateHostname", f"the hostname is also that of {other.name}"
