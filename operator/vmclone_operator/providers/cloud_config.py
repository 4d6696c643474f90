"""The user-data of a Clean clone: what we promise, with the user's own cloud-config merged under it.

The merge is of structures, never of text: a value of the user can neither end ours nor begin another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from vmclone_operator.domain.errors import CloneFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmclone_operator.domain.backend import Seed

MAX_VALUES = 20_000
"""More than any hand-written document has: aliases can make a short one endless."""
MAX_DEPTH = 32
_WHERE = "the cloud-config in spec.template.cloudInit"


def clean_user_data(seed: Seed) -> dict[str, object]:
    """Return the whole user-data; raises CloneFailed when the user's part cannot be carried over."""
    extra = {key: value for key, value in seed.extra.items() if value is not None}
    _refuse_strange(extra)
    ours = _ours(seed)
    theirs = _same_account(extra, seed.user) if seed.user else extra
    return _merged_mapping(ours, theirs, "")


def _ours(seed: Seed) -> dict[str, object]:
    """Return what we promise about the clone, whatever else its user wishes."""
    ours: dict[str, object] = {
        "hostname": seed.hostname,
        "preserve_hostname": False,
        "prefer_fqdn_over_hostname": False,
        # The image's own default account under our user's name: groups, sudo and shell are as the image has them.
        "users": ["default"],
        "ssh_deletekeys": True,
    }
    if seed.user:
        ours["user"] = {"name": seed.user, "lock_passwd": True, "ssh_authorized_keys": list(seed.authorized_keys)}
    elif seed.authorized_keys:
        ours["ssh_authorized_keys"] = list(seed.authorized_keys)
    if seed.host_key:
        # Known before the first boot, so that nobody has to trust the first connection.
        ours["ssh_keys"] = {"ed25519_private": seed.host_key, "ed25519_public": seed.host_public_key}
        ours["ssh_genkeytypes"] = []
    return ours


def _same_account(extra: Mapping[str, object], name: str) -> dict[str, object]:
    """Put what the user says about our account where it is merged under ours: listed again it would win."""
    users = extra.get("users")
    if not isinstance(users, list):
        return dict(extra)
    same = [user for user in users if isinstance(user, Mapping) and user.get("name") == name]
    others = [user for user in users if user not in same and user != name]
    account: object = extra.get("user", {})
    for user in same:
        account = merged(account, user, "user")
    return {**extra, "users": others, **({"user": account} if same else {})}


def merged(ours: object, theirs: object, path: str) -> object:
    """Merge one value under ours: mappings by key, lists one after the other, and else ours stands."""
    if isinstance(ours, Mapping):
        if not isinstance(theirs, Mapping):
            raise CloneFailed(f"{_WHERE} has a {_kind(theirs)} as {path}, where a mapping is needed: write a mapping")
        return _merged_mapping(ours, theirs, path)
    if isinstance(ours, list):
        if not isinstance(theirs, list):
            raise CloneFailed(f"{_WHERE} has a {_kind(theirs)} as {path}, where a list is needed: write a list")
        return [*ours, *(item for item in theirs if item not in ours)]
    return ours


def _merged_mapping(ours: Mapping[str, object], theirs: Mapping[str, object], path: str) -> dict[str, object]:
    prefix = f"{path}." if path else ""
    both = {key: merged(ours[key], theirs[key], f"{prefix}{key}") for key in ours if theirs.get(key) is not None}
    return {**theirs, **ours, **both}


def _kind(value: object) -> str:
    names = {bool: "truth value", int: "number", float: "number", str: "text", list: "list"}
    return "mapping" if isinstance(value, Mapping) else names.get(type(value), type(value).__name__)


def _refuse_strange(extra: Mapping[str, object]) -> None:
    """Raise CloneFailed for what JSON, and so our seed, cannot hold."""
    for count, (path, value, depth) in enumerate(_values(extra)):
        if count > MAX_VALUES or depth > MAX_DEPTH:
            raise CloneFailed(f"{_WHERE} is too large or too deep (aliases?): at most {MAX_VALUES} values are taken")
        if not isinstance(value, str | int | float | list | Mapping | None):
            raise CloneFailed(f"{_WHERE} has a {_kind(value)} as {path}: put the value in quotes")
        if isinstance(value, Mapping) and not all(isinstance(key, str) for key in value):
            raise CloneFailed(f"{_WHERE} has a key below {path or 'its top'} that is no text: put it in quotes")
        if value != value:  # noqa: PLR0124 - only "not a number" differs from itself
            raise CloneFailed(f"{_WHERE} has no number as {path}: put the value in quotes")


def _values(extra: Mapping[str, object]) -> Iterator[tuple[str, object, int]]:
    """Walk a document without recursion: it may contain itself."""
    todo: list[tuple[str, object, int]] = [("", extra, 0)]
    while todo:
        path, value, depth = todo.pop()
        yield path, value, depth
        prefix = f"{path}." if path else ""
        if isinstance(value, Mapping):
            todo += [(f"{prefix}{key}", below, depth + 1) for key, below in value.items()]
        elif isinstance(value, list):
            todo += [(f"{path}[{index}]", below, depth + 1) for index, below in enumerate(value)]
