"""The channel into a guest: the QEMU guest agent, every call with a time limit."""

from __future__ import annotations

import base64
import ipaddress
import json
import time
from typing import TYPE_CHECKING, Any

import libvirt
import libvirt_qemu

from vmclone_operator.domain.backend import GuestResult
from vmclone_operator.domain.errors import AgentNotReady, GuestAgentMissing
from vmclone_operator.providers.libvirt import domain_xml, translate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from vmclone_operator.domain.backend import GuestCommand

ANSWER_SECONDS = 5
"""How long the agent may take for one answer."""
COMMAND_SECONDS = 8.0
"""How long a guest command may run."""
POLL_SECONDS = (0.05, 0.5)
"""First and longest pause between two questions; each costs a slow guest time of its own."""
MAX_OUTPUT = 64 * 1024


def ask(
    domain: libvirt.virDomain,
    command: str,
    arguments: Mapping[str, object] | None = None,
    *,
    seconds: int = ANSWER_SECONDS,
) -> Any:  # noqa: ANN401 - JSON
    """Ask the agent one thing and return its answer."""
    request = {"execute": command} | ({"arguments": arguments} if arguments else {})
    return json.loads(libvirt_qemu.qemuAgentCommand(domain, json.dumps(request), seconds, 0))["return"]


def start_script(domain: libvirt.virDomain, script: str, *, stdin: str = "", output: bool = True) -> int:
    """Start a constant shell script in the guest and return its process id there."""
    arguments: dict[str, object] = {"path": "/bin/sh", "arg": ["-c", script], "capture-output": output}
    if stdin:
        arguments["input-data"] = base64.b64encode(stdin.encode()).decode()
    return int(ask(domain, "guest-exec", arguments)["pid"])


def run(
    domain: libvirt.virDomain,
    command: GuestCommand,
    *,
    seconds: float = COMMAND_SECONDS,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> GuestResult:
    """Run a command in the guest to its end; one that takes too long is left running there."""
    if not domain.isActive():
        raise AgentNotReady("the VM is off")
    deadline, pause = now() + seconds, POLL_SECONDS[0]
    pid = start_script(domain, command.script, stdin=command.stdin)
    while not (status := ask(domain, "guest-exec-status", {"pid": pid})).get("exited"):
        if now() >= deadline:
            raise AgentNotReady(f"the guest did not finish {command.name} within {seconds:g} seconds")
        sleep(pause)
        pause = min(pause * 1.5, POLL_SECONDS[1])
    return GuestResult(
        exit_code=int(status.get("exitcode", 128 + int(status.get("signal", 0)))),
        stdout=_output(status.get("out-data", "")),
        stderr=_output(status.get("err-data", "")),
    )


def _output(encoded: str) -> str:
    return base64.b64decode(encoded)[:MAX_OUTPUT].decode(errors="replace")


def is_frozen(domain: libvirt.virDomain) -> bool:
    """Return whether the agent holds file systems frozen."""
    return bool(ask(domain, "guest-fsfreeze-status") == "frozen")


def thaw(domain: libvirt.virDomain) -> bool:
    """Thaw the guest if its agent says that it is frozen; false too when there is nobody to ask."""
    if not domain.isActive() or not domain_xml.agent_connected(domain_xml.parsed(domain.XMLDesc())):
        return False
    try:
        if not is_frozen(domain):
            return False
        ask(domain, "guest-fsfreeze-thaw")
    except GuestAgentMissing:
        return False  # an agent that refuses to freeze has frozen nothing for us
    return True


def addresses(domain: libvirt.virDomain) -> Sequence[str]:
    """Return the addresses on the VM's own NICs, IPv4 first; bridges that the guest makes do not count."""
    if not domain.isActive():
        return ()
    nics = domain_xml.macs(domain_xml.parsed(domain.XMLDesc()))
    try:
        found = domain.interfaceAddresses(libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT, 0)
    except libvirt.libvirtError as error:
        if translate.is_connection_loss(error):
            raise
        raise AgentNotReady(translate.plain(error.get_error_message() or "")) from error
    return usable_addresses(found, nics)


def usable_addresses(found: dict[str, Any], nics: Sequence[str]) -> tuple[str, ...]:
    """Return the addresses by which others can reach the guest."""
    by_mac = {str(nic["hwaddr"]).lower(): nic["addrs"] or () for nic in found.values() if nic.get("hwaddr")}
    listed = [ipaddress.ip_address(entry["addr"]) for mac in nics for entry in by_mac.get(mac, ())]
    good = [address for address in listed if not (address.is_loopback or address.is_link_local)]
    return tuple(str(address) for address in sorted(good, key=lambda address: address.version))
