"""What all kinds of resources have in common: put, get, list, tag, delete, and the operations behind them.

Headers and states follow azure-docs articles/azure-resource-manager/management/async-operations.md: 201 or 202 with
`Azure-AsyncOperation` (a URL that answers 200 and a status) and, for deletes, `Location` (a URL that answers 202
until it is over); `Retry-After` in seconds. A provisioningState of Succeeded, Failed or Canceled is final, any other
means that an operation runs. A delete of what is not there is a 204.
Tags: articles/azure-resource-manager/management/tag-resources.md, "Limitations".
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.doubles.arm.call import Answer, Call, Policy, add
from tests.doubles.arm.refusals import Refusal
from tests.doubles.arm.world import Operation, Resource, World

POLL_SECONDS = 10
TAGS = 50
_NO_TAG_CHARACTERS = "<>%&\\?/"


def nothing(_: World, __: Resource) -> None:
    """Do no more than all kinds do."""


def plainly(_: World, resource: Resource, __: dict[str, str]) -> dict[str, Any]:
    """Show a resource as it is kept."""
    return resource.shown()


def anything(_: Call, __: Resource | None) -> None:
    """Refuse nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How one kind of resource differs from the others."""

    type: str
    service: str
    prefix: str
    """Of the SDK's operations."""
    model: str
    put: str = "create_or_update"
    get: str = "get"
    list_group: str = "list"
    list_all: str = "list_all"
    tag: str = "update"
    tag_model: str = ""
    located: bool = True
    policies: tuple[str | Policy, str, str, str] = ("", "", "", "")
    """put, get, delete, list."""
    shown: Callable[[World, Resource, dict[str, str]], dict[str, Any]] = plainly
    """How it is answered, by what the query asks for."""
    check: Callable[[Call, Resource | None], None] = anything
    """Refuses a body; the resource is the one that is there already."""
    begun: Callable[[World, Resource], None] = nothing
    """What a put does at once."""
    made: Callable[[World, Resource], None] = nothing
    """What a put has done at its end."""
    failed: Callable[[World, Resource], None] = nothing
    in_use: Callable[[World, Resource], None] = nothing
    """Refuses a delete."""
    freed: Callable[[World, Resource], None] = nothing
    """What a delete has done at its end, the resource itself aside."""
    immutable: tuple[str, ...] = ()
    """Paths below properties that no later put may change."""


KINDS: dict[str, Kind] = {}
"""All kinds, by their types in lower case."""


def register(kind: Kind) -> None:
    """Answer everything that this kind has."""
    name = kind.prefix
    KINDS[kind.type.lower()] = kind
    put_policy, get_policy, delete_policy, list_policy = kind.policies
    add(kind.service, f"{name}_{kind.put}", lambda call: put(kind, call), body=kind.model, policy=put_policy)
    add(kind.service, f"{name}_{kind.get}", lambda call: get(kind, call), policy=get_policy)
    add(kind.service, f"{name}_delete", lambda call: delete(kind, call), policy=delete_policy)
    if kind.list_group:
        add(kind.service, f"{name}_{kind.list_group}", lambda call: listed(kind, call), policy=list_policy)
    if kind.list_all:
        add(kind.service, f"{name}_{kind.list_all}", lambda call: listed(kind, call), policy=list_policy)
    if kind.tag_model:
        add(kind.service, f"{name}_{kind.tag}", retag, body=kind.tag_model, policy=delete_policy and "UpdateVM")


def put(kind: Kind, call: Call) -> Answer:
    """Make a resource, or change it."""
    world, body = call.world, call.body
    check_tags(body.get("tags") or {})
    there = world.find(call.request.path)
    if kind.located and not body.get("location"):
        raise Refusal(400, "LocationRequired", "The location property is required for this definition.")
    _check_precondition(call, there)
    if there is not None:
        _check_change(kind, there, body)
    kind.check(call, there)
    resource, fresh = put_resource(call, kind.type)
    kind.begun(world, resource)
    return _accepted(kind, call, resource, fresh=fresh)


def put_resource(call: Call, kind: str) -> tuple[Resource, bool]:
    """Write what was put; return the resource, and whether it is new. What the provider answers besides stays."""
    world, body = call.world, copy.deepcopy(call.body)
    there = world.find(call.request.path)
    if there is None:
        resource = Resource(
            id=call.request.path,
            kind=kind,
            name=call.request.path.rsplit("/", 1)[-1],
            group=call.params.get("resource_group_name", ""),
            body=body,
            created=world.now(),
        )
        world.resources[resource.key] = resource
        return resource, True
    given = body.get("properties", {})
    kept = {name: value for name, value in there.properties.items() if name not in given}
    answered = {name: value for name, value in there.body.items() if name not in body}
    there.body = {**answered, **body, "properties": {**kept, **given}}
    there.etag += 1
    return there, False


def _accepted(kind: Kind, call: Call, resource: Resource, *, fresh: bool) -> Answer:
    world = call.world
    if kind.service == "network":
        resource.body["etag"] = f'W/"{resource.etag}"'
    if not world.takes(kind.type, "put"):
        finish(kind, world, resource)
        return Answer(status=201 if fresh else 200, body=kind.shown(world, resource, {}))
    resource.properties["provisioningState"] = "Creating" if fresh and kind.service == "compute" else "Updating"
    operation = world.begin(
        resource,
        "put",
        lambda: finish(kind, world, resource),
        failed=lambda: kind.failed(world, resource),
    )
    accepted = kind.prefix in {"disks", "snapshots"}
    status = 202 if accepted else (201 if fresh else 200)
    return Answer(
        status=status, body=kind.shown(world, resource, {}), headers=pending(call, operation, location=accepted)
    )


def finish(kind: Kind, world: World, resource: Resource) -> None:
    """Bring a put to its end."""
    resource.properties["provisioningState"] = "Succeeded"
    kind.made(world, resource)


def pending(call: Call, operation: Operation, *, location: bool) -> dict[str, str]:
    """Return the headers that say where an operation can be asked about."""
    query = f"?api-version={call.version}"
    headers = {
        "Azure-AsyncOperation": f"{call.request.base}{operation.path}{query}",
        "Retry-After": str(POLL_SECONDS),
    }
    if location:
        headers["Location"] = f"{call.request.base}{operation.result}{query}"
    return headers


def get(kind: Kind, call: Call) -> Answer:
    """Show a resource."""
    return Answer(status=200, body=kind.shown(call.world, call.resource(), call.request.query))


def retag(call: Call) -> Answer:
    """Replace a resource's tags; nothing else is patched here."""
    resource = call.resource()
    others = set(call.body) - {"tags"}
    if others:
        raise Refusal(400, "BadRequest", f"The double patches tags only, not {', '.join(sorted(others))}.")
    check_tags(call.body.get("tags") or {})
    refuse_busy(resource)
    resource.body["tags"] = dict(call.body.get("tags") or {})
    resource.etag += 1
    return Answer(status=200, body=resource.shown())


def listed(kind: Kind, call: Call) -> Answer:
    """List the resources of a kind, in pages; the freshest are not there yet."""
    world, group = call.world, call.params.get("resource_group_name", "").lower()
    found = [
        one
        for one in world.of_kind(kind.type)
        if group in {"", one.group.lower()} and world.now() - one.created >= world.list_lag_seconds
    ]
    begin = int(call.request.query.get("$skiptoken", "0"))
    page = found[begin : begin + world.page_size]
    body: dict[str, Any] = {"value": [kind.shown(world, one, call.request.query) for one in page]}
    if begin + world.page_size < len(found):
        token = f"%24skiptoken={begin + world.page_size}&api-version={call.version}"
        body["nextLink"] = f"{call.request.base}{call.request.path}?{token}"
    return Answer(status=200, body=body)


def delete(kind: Kind, call: Call) -> Answer:
    """Begin to remove a resource."""
    world = call.world
    resource = world.find(call.request.path)
    if resource is None:
        return Answer(status=204)
    if resource.busy and resource.operation is not None and resource.operation.verb == "delete":
        return Answer(status=202, headers=pending(call, resource.operation, location=True))
    refuse_busy(resource)
    kind.in_use(world, resource)
    resource.properties["provisioningState"] = "Deleting"
    operation = world.begin(resource, "delete", lambda: remove(kind, world, resource))
    return Answer(status=202, headers=pending(call, operation, location=True))


def remove(kind: Kind, world: World, resource: Resource) -> None:
    """Take a resource away."""
    kind.freed(world, resource)
    world.resources.pop(resource.key, None)


def refuse_busy(resource: Resource) -> None:
    """Refuse a change while another one runs.

    Compute: 409 Conflict; Network: 429 RetryableErrorDueToAnotherOperation (terraform-provider-azurerm issue 17565,
    azure-cli issue 9487).
    """
    if not resource.busy or resource.operation is None:
        return
    if resource.kind.startswith("Microsoft.Network/"):
        raise Refusal(
            429,
            "RetryableErrorDueToAnotherOperation",
            f"Operation {resource.operation.verb} ({resource.operation.id}) on this or dependent resource is in "
            "progress, please retry later.",
            retry_after=POLL_SECONDS,
        )
    raise Refusal(409, "Conflict", "The request failed due to conflict with a concurrent request.")


def _check_precondition(call: Call, there: Resource | None) -> None:
    wanted = call.request.headers.get("if-match")
    if wanted and (there is None or there.body.get("etag") != wanted):
        raise Refusal(412, "PreconditionFailed", f"Precondition If-Match with value {wanted} failed.")


def _check_change(kind: Kind, there: Resource, body: dict[str, Any]) -> None:
    refuse_busy(there)
    if kind.located and there.location.lower() != str(body["location"]).lower():
        raise Refusal(
            409,
            "InvalidResourceLocation",
            f"The resource '{there.name}' already exists in location '{there.location}' in resource group "
            f"'{there.group}'. A resource with the same name cannot be created in location '{body['location']}'.",
        )
    for path in kind.immutable:
        before, after = inner(there.properties, path), inner(body.get("properties", {}), path)
        if after is not None and before != after:
            raise Refusal(409, "PropertyChangeNotAllowed", f"Changing property '{path}' is not allowed.", target=path)


def inner(found: Any, path: str) -> Any:
    """Return what is at a dotted path; None where there is nothing."""
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def check_tags(tags: dict[str, str]) -> None:
    """Refuse tags that ARM refuses."""
    for name, value in tags.items():
        if any(character in _NO_TAG_CHARACTERS for character in name):
            raise Refusal(
                400,
                "InvalidTagNameCharacters",
                f"The tag names '{name}' have reserved characters '<,>,%,&,\\,?,/' or control characters.",
            )
        if len(name) > 512:
            raise Refusal(400, "InvalidTagNameLength", f"Tag name too long: '{name[:32]}'. At most 512 characters.")
        if len(value) > 256:
            raise Refusal(400, "InvalidTagValueLength", f"Tag value too long of '{name}'. At most 256 characters.")
    if len(tags) > TAGS:
        raise Refusal(400, "TagLimitExceeded", f"A resource can have at most {TAGS} tags, not {len(tags)}.")
