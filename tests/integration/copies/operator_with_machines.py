"""The operator on a fake hypervisor whose guests are real hosts: `python -m ... FILE ...`.

FILE lists the machines. A clone takes the next free one: its seed's host key goes there, its guest's commands
about copies change its authorized_keys, and its address is the machine's.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from vmclone_operator import main as operator
from vmclone_operator.domain.backend import (
    BackendConfig,
    CloneIntent,
    CloneRef,
    Fence,
    GuestCommand,
    GuestResult,
    Progress,
    Wake,
)
from vmclone_operator.providers import fake
from vmclone_operator.providers.registry import load


class Hosts:
    """Which machine is whose."""

    def __init__(self, machines: list[dict[str, str]]) -> None:
        self._free = machines
        self._taken: dict[str, dict[str, str]] = {}

    def of(self, incarnation: str) -> dict[str, str]:
        if incarnation not in self._taken:
            self._taken[incarnation] = self._free.pop(0)
            sys.stdout.write(json.dumps({"incarnation": incarnation, **self._taken[incarnation]}) + "\n")
            sys.stdout.flush()
        return self._taken[incarnation]

    def release(self, incarnation: str) -> None:
        """Give the machine of a clone that is gone to the next, its home empty."""
        machine = self._taken.pop(incarnation, None)
        if machine is None:
            return
        for path in (Path(machine["folder"]) / "home").iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        self._free.append(machine)

    def give_key(self, intent: CloneIntent) -> None:
        """Let the machine's sshd present the key of the clone's seed, as cloud-init does."""
        folder = Path(self.of(intent.stamp.incarnation)["folder"])
        key = folder / "host_key"
        if key.read_text() != intent.seed.host_key:
            key.write_text(intent.seed.host_key)
            os.kill(int((folder / "pid").read_text()), signal.SIGHUP)

    def allow(self, incarnation: str, stdin: str) -> None:
        """Put the key of a copy in, or take all out."""
        lines = [line.removeprefix("line=") + "\n" for line in stdin.splitlines() if line.startswith("line=")]
        (Path(self.of(incarnation)["folder"]) / "authorized_keys").write_text("".join(lines))


class HostedSession:
    """A fake session whose guests can be reached."""

    def __init__(self, inner: fake.FakeSession, hosts: Hosts) -> None:
        self._inner, self._hosts = inner, hosts

    def __getattr__(self, verb: str) -> Any:
        return getattr(self._inner, verb)

    async def start_clone(self, intent: CloneIntent) -> Progress:
        self._hosts.give_key(intent)
        return await self._inner.start_clone(intent)

    async def delete_clone(self, ref: CloneRef) -> Progress:
        gone = await self._inner.delete_clone(ref)
        if gone.done:
            self._hosts.release(ref.stamp.incarnation)
        return gone

    async def guest_exec(self, ref: CloneRef, command: GuestCommand) -> GuestResult:
        answer = await self._inner.guest_exec(ref, command)
        if command.name == "copy-access" and answer.exit_code == 0:
            self._hosts.allow(ref.stamp.incarnation, command.stdin)
        return answer

    async def guest_addresses(self, ref: CloneRef) -> Sequence[str]:
        known = await self._inner.guest_addresses(ref)
        return (self._hosts.of(ref.stamp.incarnation)["address"],) if known else ()


class HostedBackend:
    """Opens such sessions."""

    def __init__(self, inner: fake.FakeBackend, hosts: Hosts) -> None:
        self._inner, self._hosts = inner, hosts

    async def open(self, config: BackendConfig, *, wake: Wake, fence: Fence) -> Any:
        return HostedSession(await self._inner.open(config, wake=wake, fence=fence), self._hosts)


def main() -> None:
    """Run the operator with the machines in the file that the first argument names."""
    hosts = Hosts(json.loads(Path(sys.argv.pop(1)).read_text()))
    fake.shared_world = cache(lambda: fake.World(on_demand=True))

    def hosted(kind: str, *, allow_fake: bool) -> Any:
        return HostedBackend(load(kind, allow_fake=allow_fake), hosts)  # type: ignore[arg-type]  # only fakes here

    operator.load = hosted  # type: ignore[attr-defined]
    operator.main()


if __name__ == "__main__":
    main()
