"""The guest agent through the server: every call first pings, and a silent agent costs a worker three seconds.

qemu-server src/PVE/API2/Qemu/Agent.pm and QemuServer/Agent.pm, e6352be; recordings 03-power-agent and 11.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Generator
from typing import Any

from tests.doubles.pve.api.power import agent_configured
from tests.doubles.pve.call import Call, endpoint
from tests.doubles.pve.guests import AgentError, MissingBinary
from tests.doubles.pve.refusals import Raw, Refused
from tests.doubles.pve.timeline import Steps

PING_SECONDS = 3.0
BROKEN_PIPE_SECONDS = 5.0
READ_LIMIT = 16 * 1024**2
_GONE = "PID ld does not exist"
"""The guest agent's own text, with its own mistake (recording 03, 96)."""
Answered = Generator[float, None, dict[str, Any]]


def _available(call: Call) -> Steps[int]:
    """Return the id of a VM whose agent answers; a silent one is waited for."""
    vm = call.vm
    if not agent_configured(vm):
        raise Refused("No QEMU guest agent configured")
    if not vm.running:
        raise Refused(f"VM {vm.vmid} is not running")
    if vm.paused or not call.world.guests.agent_answers(vm.vmid):
        yield PING_SECONDS
        raise Refused("QEMU guest agent is not running")
    return vm.vmid


@endpoint("POST", "/nodes/{node}/qemu/{vmid}/agent/ping")
def ping(call: Call) -> Answered:
    """Say whether the agent answers."""
    yield from _available(call)
    return {"result": {}}


@endpoint("POST", "/nodes/{node}/qemu/{vmid}/agent")
def command(call: Call) -> Answered:
    """Pass a command on that has no parameters; the ones that the double knows."""
    known = {"ping": ping, "network-get-interfaces": interfaces, "get-osinfo": os_info}
    name = call.params["command"]
    if name in known:
        answer: dict[str, Any] = yield from known[name](call)
        return answer
    if not name.startswith("fsfreeze-"):
        raise Refused(f"Agent error: the double does not know {name}")
    return (yield from _freezing(call, name))


@endpoint("POST", "/nodes/{node}/qemu/{vmid}/agent/exec")
def execute(call: Call) -> Answered:
    """Start a command; one string is one argument, and a binary that is missing breaks the connection."""
    vmid = yield from _available(call)
    stdin = _bytes(str(call.params.get("input-data", "")))
    try:
        run = call.world.guests.execute(vmid, call.params["command"], stdin)
    except MissingBinary:
        yield BROKEN_PIPE_SECONDS
        raise Raw(596, "Broken pipe") from None
    except AgentError as error:
        raise Refused(f"Agent error: {error}") from error
    pid = call.world.new_pid()
    call.world.runs[vmid, pid] = run
    return {"pid": pid}


@endpoint("GET", "/nodes/{node}/qemu/{vmid}/agent/exec-status")
def execute_status(call: Call) -> Answered:
    """Return how a command stands; once it has ended, once only (recording 03, 95-97)."""
    vmid = yield from _available(call)
    key = (vmid, call.params["pid"])
    run = call.world.runs.get(key)
    if run is None:
        raise Refused(f"Agent error: {_GONE}")
    try:
        run.look()
    except AgentError as error:
        raise Refused(f"Agent error: {error}") from error
    if run.done_at > call.world.now():
        return {"exited": 0}
    del call.world.runs[key]
    ended = {"signal": run.signal} if run.signal else {"exitcode": run.exit_code}
    return {"exited": 1, **ended, **_output("out", run.out), **_output("err", run.err)}


def _output(name: str, data: bytes) -> dict[str, Any]:
    """Return what a command wrote, decoded as the server does it: byte by byte (README 32)."""
    if not data:
        return {}
    said: dict[str, Any] = {f"{name}-data": data[:READ_LIMIT].decode("latin-1")}
    return {**said, f"{name}-truncated": 1} if len(data) > READ_LIMIT else said


@endpoint("GET", "/nodes/{node}/qemu/{vmid}/agent/file-read")
def read_file(call: Call) -> Answered:
    """Return a file, at most 16 MiB of it."""
    vmid = yield from _available(call)
    try:
        data = call.world.guests.read(vmid, call.params["file"])
    except AgentError as error:
        raise Refused(f"Agent error: {error}") from error
    got = data[:READ_LIMIT]
    answer: dict[str, Any] = {"content": got.decode("latin-1"), "bytes-read": len(got)}
    return {**answer, "truncated": 1} if len(data) > READ_LIMIT else answer


@endpoint("POST", "/nodes/{node}/qemu/{vmid}/agent/file-write")
def write_file(call: Call) -> Steps[None]:
    """Write a file; with `encode=0` the content is base64 already."""
    vmid = yield from _available(call)
    content = _bytes(call.params["content"])
    if not call.params.get("encode", 1):
        try:
            content = base64.b64decode(content, validate=True)
        except binascii.Error:
            raise Refused("Agent error: Base64 data contains invalid characters") from None
    try:
        call.world.guests.write(vmid, call.params["file"], content)
    except AgentError as error:
        raise Refused(f"Agent error: {error}") from error


@endpoint("GET", "/nodes/{node}/qemu/{vmid}/agent/network-get-interfaces")
def interfaces(call: Call) -> Answered:
    """Return the guest's network."""
    vmid = yield from _available(call)
    return {"result": call.world.guests.interfaces(vmid)}


@endpoint("GET", "/nodes/{node}/qemu/{vmid}/agent/get-osinfo")
def os_info(call: Call) -> Answered:
    """Return what system the guest says it is."""
    vmid = yield from _available(call)
    return {"result": call.world.guests.os_info(vmid)}


def _bytes(text: str) -> bytes:
    """Return what arrives in the guest: a byte per character, and nothing that needs more (recording 03, 109-110)."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        raise Refused("Wide character in subroutine entry") from None


def _freezing(call: Call, name: str) -> Answered:
    vmid = yield from _available(call)
    if name == "fsfreeze-status":
        return {"result": "frozen" if call.world.guests.frozen(vmid) else "thawed"}
    return {"result": call.world.guests.freeze(vmid, frozen=name == "fsfreeze-freeze")}


@endpoint("POST", "/nodes/{node}/qemu/{vmid}/agent/fsfreeze-freeze")
def freeze(call: Call) -> Answered:
    """Freeze the guest's file systems."""
    return (yield from _freezing(call, "fsfreeze-freeze"))


@endpoint("POST", "/nodes/{node}/qemu/{vmid}/agent/fsfreeze-thaw")
def thaw(call: Call) -> Answered:
    """Thaw the guest's file systems."""
    return (yield from _freezing(call, "fsfreeze-thaw"))


@endpoint("POST", "/nodes/{node}/qemu/{vmid}/agent/fsfreeze-status")
def freeze_status(call: Call) -> Answered:
    """Say whether the guest's file systems are frozen."""
    return (yield from _freezing(call, "fsfreeze-status"))
