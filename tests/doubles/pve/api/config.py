"""Changing a config: what is refused before anything happens, and what is half done when it fails later.

PUT does it in the call and holds the caller up while it waits for the lock; POST begins a task. Both look at
the lock and the digest at once (recordings 04, 30-31 and 07). Deletes come first, then values, each written as
it is done: `delete=hostpci0,tpmstate0` on a protected VM fails, and hostpci0 is gone (recording 06, 48).
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from tests.doubles.pve.api.power import only_root_skips_locks
from tests.doubles.pve.call import Call, endpoint
from tests.doubles.pve.changes import delete_key, set_value
from tests.doubles.pve.drives import is_drive, network
from tests.doubles.pve.formats import split_list
from tests.doubles.pve.refusals import Refused, wrong
from tests.doubles.pve.rights import check_bridges, check_key, check_storages
from tests.doubles.pve.schema import parameters
from tests.doubles.pve.tasks import Task
from tests.doubles.pve.timeline import Steps
from tests.doubles.pve.vm import VM

PUT = "PUT /nodes/{node}/qemu/{vmid}/config"
_NOT_CONFIG = (
    "node vmid digest delete revert skiplock force background_delay import-working-storage cdrom".split()  # noqa: SIM905
)
_PUBLIC_KEY = re.compile(r"(ssh-(rsa|dss|ed25519)|ecdsa-sha2-\S+|sk-\S+)\s+\S{20,}(\s.*)?")


@endpoint("PUT", "/nodes/{node}/qemu/{vmid}/config")
def put(call: Call) -> Steps[None]:
    """Change a config while the caller waits."""
    change = Change(call)
    change.check(call.vm)
    yield from change.carried_out(call, None)


@endpoint("POST", "/nodes/{node}/qemu/{vmid}/config")
def post(call: Call) -> str:
    """Begin a task that changes a config (recording 07, 107-117)."""
    change = Change(call)
    change.check(call.vm)
    task = call.begin("qmconfig", call.vm.vmid)

    def body() -> Steps[None]:
        yield call.world.pace(call.world.timing.task)
        yield from change.carried_out(call, task)

    return call.world.work(task, body())


class Change:
    """What a request wants of a config, verified as far as no VM is needed."""

    def __init__(self, call: Call) -> None:
        params = call.params
        self.skip = only_root_skips_locks(call)
        self.said = {key: params[key] for key in sorted(params) if key not in {"node", "vmid", "digest", "skiplock"}}
        self.values: dict[str, Any] = {key: v for key, v in params.items() if key not in _NOT_CONFIG}
        self.digest = params.get("digest")
        check_public_keys(self.values)
        if not call.given - {"node", "vmid", "digest", "skiplock", "force"}:
            raise Refused("no options specified")
        self.revert = split_list(params.get("revert", ""))
        self.delete = split_list(params.get("delete", ""))
        _check_options("revert", self.revert, self.values)
        _check_options("delete", self.delete, self.values)
        for key in self.values:
            if re.fullmatch(r"net\d+", key):
                self.values[key] = network(str(self.values[key]), call.world.new_address())
        for key in [*self.delete, *self.values]:
            check_key(call, key, params["vmid"])
        check_storages(call, {key: str(v) for key, v in self.values.items() if is_drive(key)})
        check_bridges(call, [str(v) for key, v in self.values.items() if re.fullmatch(r"net\d+", key)])

    def check(self, vm: VM) -> None:
        """Refuse a config that is not what the caller read, or that is locked."""
        vm.check_digest(self.digest)
        if not self.skip:
            vm.check_lock()
        balloon = self.values.get("balloon", vm.merged().get("balloon"))
        memory = int(self.values.get("memory") or vm.merged().get("memory") or 512)
        if ("memory" in self.values or "balloon" in self.values) and balloon and int(balloon) > memory:
            raise Refused("balloon value too large (must be smaller than assigned memory)")

    def carried_out(self, call: Call, task: Task | None) -> Steps[None]:
        """Write the change, key by key."""
        owner: object = task or self
        call.world.check_quorum()
        yield from call.locked(call.params["vmid"], owner)
        vm = call.vm
        try:
            self.check(vm)
            if task is not None:
                words = [f"-{key} {'<hidden>' if key == 'cipassword' else v}" for key, v in self.said.items()]
                task.log.append(f"update VM {vm.vmid}: {' '.join(words)}")
            for key in self.revert:
                vm.pending.pop(key, None)
                vm.pending_delete.discard(key)
            for key in self.delete:
                yield from delete_key(call, vm, key)
            for key in sorted(self.values):
                yield from set_value(call, vm, key, self.values[key], owner=owner, task=task)
        finally:
            if task is None:
                call.world.locks.release_all(owner)


def _check_options(word: str, keys: list[str], values: dict[str, Any]) -> None:
    """Refuse keys that no config has, and those that the same request sets (recording 07, 13-16)."""
    for key in keys:
        if key in values:
            raise wrong("delete", f"you can't use '-{key}' and -{word} {key}' at the same time")
        known = key in parameters(PUT) or key == "vmstate"
        if not known or key in _NOT_CONFIG:
            raise wrong(word, f"unknown option '{key}'")


def check_public_keys(values: dict[str, Any]) -> None:
    """Refuse keys that are none (recording 02, 73)."""
    keys = unquote(str(values.get("sshkeys", "")))
    lines = [line for line in keys.splitlines() if line.strip() and not line.startswith("#")]
    if not all(_PUBLIC_KEY.fullmatch(line.strip()) for line in lines):
        raise Refused("SSH public key validation error")
