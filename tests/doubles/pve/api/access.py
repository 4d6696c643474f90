"""Tickets, rights and access lists (recordings 01-auth and 09-permissions)."""

from __future__ import annotations

from typing import Any

from tests.doubles.pve.access import AccessEntry, Caller
from tests.doubles.pve.call import Call, endpoint
from tests.doubles.pve.formats import split_list


@endpoint("GET", "/access/permissions")
def permissions(call: Call) -> dict[str, Any]:
    """Return what the caller may do, by path; a token without a right gets nothing (recording 01, 39)."""
    wanted = str(call.params.get("userid", call.caller.name))
    user, _, token = wanted.partition("!")
    found = call.world.access.overview(Caller(user, token))
    path = call.params.get("path")
    if path is None:
        return found
    have = call.world.access.privileges(Caller(user, token), path)
    return {path: dict.fromkeys(sorted(have), 1)}


@endpoint("GET", "/access/acl")
def access_list(call: Call) -> list[dict[str, Any]]:
    """Return the access list as far as the caller may change it."""
    rows = [row for row in call.world.access.entries if call.may(row.path, "Permissions.Modify", "Sys.Audit")]
    return [
        {
            "path": row.path,
            "ugid": row.who,
            "roleid": row.role,
            "type": "token" if "!" in row.who else "user",
            "propagate": int(row.propagate),
        }
        for row in rows
    ]


@endpoint("PUT", "/access/acl")
def change_access_list(call: Call) -> None:
    """Give or take roles."""
    params, entries = call.params, call.world.access.entries
    called = [*split_list(params.get("users", "")), *split_list(params.get("tokens", ""))]
    for who in called:
        for role in split_list(params["roles"]):
            same = [row for row in entries if (row.path, row.who, row.role) == (params["path"], who, role)]
            for row in same:
                entries.remove(row)
            if not params.get("delete"):
                spread = bool(params.get("propagate", 1))
                entries.append(AccessEntry(path=params["path"], who=who, role=role, propagate=spread))
