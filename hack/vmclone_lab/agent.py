"""Talks to a guest through its agent: the only way in that needs no network."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from vmclone_lab.errors import LabError
from vmclone_lab.progress import wait_for

if TYPE_CHECKING:
    from vmclone_lab.lab import Lab

CALL_SECONDS = 10


def call(lab: Lab, domain: str, command: str, **arguments: object) -> Any:  # noqa: ANN401 - JSON
    """Send one agent command; None when the agent does not answer."""
    request: dict[str, object] = {"execute": command}
    if arguments:
        request["arguments"] = {name.replace("_", "-"): arguments[name] for name in arguments}
    words = ["virsh", "qemu-agent-command", "--timeout", str(CALL_SECONDS), domain]
    answer = lab.attempt_inside([*words, json.dumps(request)], timeout_seconds=CALL_SECONDS + 20)
    return json.loads(answer.stdout)["return"] if answer.returncode == 0 else None


def answers(lab: Lab, domain: str) -> bool:
    """Tell whether the agent answers."""
    return call(lab, domain, "guest-ping") is not None


def output_of(lab: Lab, domain: str, argv: list[str], deadline_seconds: float) -> str:
    """Run a command in the guest and return its standard output, whatever its exit status."""
    started = call(lab, domain, "guest-exec", path=argv[0], arg=argv[1:], capture_output=True)
    if started is None:
        raise LabError(f"the guest agent of {domain} refused to run {argv[0]}")

    def result() -> dict[str, Any] | None:
        state = call(lab, domain, "guest-exec-status", pid=started["pid"])
        return state if state and state["exited"] else None

    state = wait_for(f"{argv[0]} in {domain}", result, deadline_seconds, pause_seconds=0.3)
    return base64.b64decode(state.get("out-data", "")).decode(errors="replace")


def ipv4_address(interfaces: list[dict[str, Any]]) -> str | None:
    """Return the first IPv4 address that is not the loopback's."""
    for interface in interfaces:
        for address in interface.get("ip-addresses", ()):
            if address["ip-address-type"] == "ipv4" and interface["name"] != "lo":
                return str(address["ip-address"])
    return None
