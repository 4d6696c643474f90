"""Who calls, and what he may do: users, API tokens, tickets, access lists with propagation, pools.

A privilege counts on a path when a role of the deepest access list entry for the caller on the way there has
it; a token with privilege separation has what both it and its user have (recording 09-permissions). root@pam
may everything. The wording of refusals: recording 09-permissions, 13-59.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tests.doubles.pve.refusals import forbidden

ROOT = "root@pam"
TICKET_SECONDS = 2 * 3600
_TOP_PATHS = ("/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms", "/mapping")
"""Where /access/permissions always looks; pve-access-control src/PVE/RPCEnvironment.pm 9.1.1."""


@cache
def builtin_roles() -> dict[str, frozenset[str]]:
    """Return the roles that every installation has, with their privileges."""
    read = json.loads((Path(__file__).parent / "tables" / "roles.json").read_text())
    return {name: frozenset(privileges) for name, privileges in read["roles"].items()}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request is from; `token` is empty for a ticket."""

    user: str
    token: str = ""

    @property
    def name(self) -> str:
        """Return it as access lists and task ids spell it."""
        return f"{self.user}!{self.token}" if self.token else self.user


@dataclass(slots=True, kw_only=True)
class Token:
    """An API token of a user."""

    secret: str
    separated: bool = True
    expires: float = 0


@dataclass(slots=True, kw_only=True)
class AccessEntry:
    """One row of the access list."""

    path: str
    who: str
    role: str
    propagate: bool = True


@dataclass(slots=True)
class Access:
    """Users, tokens and rights of a cluster."""

    users: dict[str, str] = field(default_factory=lambda: {ROOT: "secret"})
    """Passwords by user."""
    tokens: dict[str, Token] = field(default_factory=dict)
    roles: dict[str, frozenset[str]] = field(default_factory=lambda: dict(builtin_roles()))
    entries: list[AccessEntry] = field(default_factory=list)
    tickets: dict[str, tuple[str, float]] = field(default_factory=dict)
    """By ticket, its user and when it was issued."""
    csrf: dict[str, str] = field(default_factory=dict)
    """By user, the token that a ticket's writes must carry."""

    def grant(self, who: str, path: str, *privileges: str, propagate: bool = True) -> None:
        """Give somebody these privileges there, through a role of its own."""
        name = f"R{len(self.roles) - len(builtin_roles())}"
        self.roles[name] = frozenset(privileges)
        self.entries.append(AccessEntry(path=path, who=who, role=name, propagate=propagate))

    def privileges(self, caller: Caller, path: str, pool: str = "") -> frozenset[str]:
        """Return what the caller may do at a path; `pool` is the pool that the guest at the path belongs to."""
        token = self.tokens.get(caller.name) if caller.token else None
        if token is not None and token.separated:
            return self._granted(caller.name, path, pool) & self._granted(caller.user, path, pool)
        return self._granted(caller.user, path, pool)

    def _granted(self, who: str, path: str, pool: str) -> frozenset[str]:
        if who == ROOT:
            return builtin_roles()["Administrator"]
        found = self._at(who, path)
        return found | self._at(who, f"/pool/{pool}") if pool else found

    def _at(self, who: str, path: str) -> frozenset[str]:
        parts = [part for part in path.split("/") if part]
        found: frozenset[str] = frozenset()
        for depth in range(len(parts) + 1):
            here = "/" + "/".join(parts[:depth])
            rows = [row for row in self.entries if (row.path, row.who) == (here, who)]
            rows = [row for row in rows if row.propagate or depth == len(parts)]
            if rows:
                found = frozenset[str]().union(*(self.roles[row.role] for row in rows))
        return found

    def overview(self, caller: Caller) -> dict[str, dict[str, int]]:
        """Return what /access/permissions says: by path, each privilege with whether it propagates."""
        paths = dict.fromkeys([*_TOP_PATHS, *(row.path for row in self.entries)])
        rights = {path: self.privileges(caller, path) for path in paths}
        return {path: dict.fromkeys(sorted(have), 1) for path, have in rights.items() if have}


def require(have: frozenset[str], path: str, privileges: list[str], *, either: bool = False) -> None:
    """Refuse a call for want of privileges, naming the path and what would have done."""
    enough = any(name in have for name in privileges) if either else all(name in have for name in privileges)
    if not enough:
        raise forbidden(f"{path}, {'|'.join(privileges)}")


def path_of(template: str, values: dict[str, Any]) -> str:
    """Fill the parameters of a call into the path that its check names."""
    for name, value in values.items():
        template = template.replace("{" + name + "}", str(value))
    return template
