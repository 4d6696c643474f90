"""One call of the API, and the table of what answers it.

    @endpoint("GET", "/cluster/nextid")
    def next_id(call: Call) -> str: ...

A handler returns the answer's `data`, or is a generator that yields the seconds it waits (for a lock, for an
agent) and then returns it; it raises `Refused` to say no.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from tests.doubles.pve.access import ROOT, Caller, path_of, require
from tests.doubles.pve.locks import config_file
from tests.doubles.pve.refusals import Refused, forbidden
from tests.doubles.pve.tasks import Task
from tests.doubles.pve.timeline import Steps
from tests.doubles.pve.vm import VM
from tests.doubles.pve.world import World


@dataclass(slots=True, kw_only=True)
class Total:
    """A list together with how many there are in all, which stands beside `data`."""

    data: list[Any]
    total: int


@dataclass(slots=True, kw_only=True)
class Call:
    """What a handler gets: the world, who calls, and the checked parameters, those of the path among them."""

    world: World
    caller: Caller
    params: dict[str, Any] = field(default_factory=dict)
    given: frozenset[str] = frozenset()
    """The names of the parameters as they came; one whose value was null is among them."""
    upload: tuple[str, bytes] | None = None
    """File name and content of a multipart upload."""

    @property
    def node(self) -> str:
        """Return the node that the path names."""
        return str(self.params["node"])

    @property
    def vm(self) -> VM:
        """Return the VM that the path names, or refuse."""
        return self.world.vm(self.params["vmid"], self.node)

    @property
    def root(self) -> bool:
        """Tell whether root@pam himself calls; a token of his is not he."""
        return self.caller.name == ROOT

    def privileges(self, path: str) -> frozenset[str]:
        """Return what the caller may do at a path."""
        found = re.match(r"/vms/(\d+)$", path)
        pool = self.world.pool_of(int(found[1])) if found else ""
        return self.world.access.privileges(self.caller, path, pool)

    def require(self, path: str, *privileges: str, either: bool = False) -> None:
        """Refuse the call unless the caller has these privileges at the path."""
        require(self.privileges(path), path, list(privileges), either=either)

    def may(self, path: str, *privileges: str) -> bool:
        """Tell whether the caller has any of these privileges at the path."""
        return bool(self.privileges(path) & set(privileges))

    def begin(self, kind: str, subject: str | int) -> Task:
        """Begin a worker task on the call's node."""
        return self.world.begin(kind, subject, self.caller.name, self.node)

    def locked(self, vmid: int, owner: object) -> Steps[None]:
        """Wait for the config lock of a VM; the answer says no when it does not come."""
        log = owner.log.append if isinstance(owner, Task) else _say_nothing
        yield from self.world.locks.acquire(config_file(vmid), owner, log=log)


def _say_nothing(_: str) -> None:
    """Drop what is logged by a call that has no log."""


Handler = Callable[[Call], Any]
_HANDLERS: dict[str, Handler] = {}


def endpoint(method: str, path: str) -> Callable[[Handler], Handler]:
    """Make a function the handler of an endpoint."""

    def register(handler: Handler) -> Handler:
        _HANDLERS[f"{method} {path}"] = handler
        return handler

    return register


def handlers() -> dict[str, Handler]:
    """Return every handler by endpoint."""
    return _HANDLERS


def route(method: str, path: str) -> tuple[str, dict[str, str]] | None:
    """Return the endpoint that a path is of, with what the path names; literal parts win over names."""
    parts = [part for part in path.split("/") if part]
    best: tuple[int, str, dict[str, str]] | None = None
    for known in _HANDLERS:
        verb, _, template = known.partition(" ")
        if verb != method:
            continue
        values = _match(template.strip("/").split("/"), parts)
        if values is not None and (best is None or len(values) < best[0]):
            best = (len(values), known, values)
    return None if best is None else (best[1], best[2])


def _match(template: list[str], parts: list[str]) -> dict[str, str] | None:
    if template[-1:] == ["{volume}"] and len(parts) > len(template):
        parts = [*parts[: len(template) - 1], "/".join(parts[len(template) - 1 :])]
    if len(template) != len(parts):
        return None
    values = {}
    for wanted, part in zip(template, parts, strict=True):
        if wanted.startswith("{"):
            values[wanted[1:-1]] = unquote(part)
        elif wanted != part:
            return None
    return values


def check_permission(call: Call, check: list[Any]) -> None:
    """Refuse the call unless the endpoint's declared check passes; it looks at the parameters as they came."""
    kind, *rest = check
    if kind == "and":
        for part in rest:
            check_permission(call, part)
    elif kind == "or":
        if not any(_passes(call, part) for part in rest):
            raise forbidden()
    elif kind == "perm":
        template, privileges, *options = rest
        if "require_param" in options and not call.params.get(options[options.index("require_param") + 1]):
            raise forbidden()
        call.require(path_of(template, call.params), *privileges, either="any" in options)


def _passes(call: Call, check: list[Any]) -> bool:
    try:
        check_permission(call, check)
    except Refused:
        return False
    return True
