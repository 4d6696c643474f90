"""Managed run commands: a script that Azure's agent runs in a VM, as a resource below the VM.

Rules, and where they were read:

* The agent runs them one after the other here, each takes 20 s or more, and only the last 4 KiB of what a script says
  are kept (azure-compute-docs articles/virtual-machines/linux/run-command-managed.md 2193989 and run-command.md;
  Azure/run-command-handler-linux f95dc24). Microsoft's page also speaks of parallel execution; the stricter is taken.
* At most 25 on a VM (azure-docs issue 117976).
* Putting the same content again runs nothing, and a name that was used does not run again after it was deleted
  (azure-sdk-for-net issue 47307, azure-compute-docs issue 178).
* Nothing is put while the VM does not run: 409 OperationNotAllowed "Cannot modify extensions in the VM when the VM is
  not running." (azure-compute-docs, troubleshooting of extensions; terraform-provider-azurerm issue 4093).
* An agent that does not answer gives no result; the operation fails after 90 minutes (VMExtensionProvisioningTimeout).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.doubles.arm.call import Answer, Call, endpoint
from tests.doubles.arm.generic import Kind, check_tags, delete, inner, pending, put_resource, refuse_busy
from tests.doubles.arm.guests import RUN_SECONDS, Outcome, Started
from tests.doubles.arm.nics import is_connected
from tests.doubles.arm.refusals import Refusal, invalid
from tests.doubles.arm.vms import TYPE as VM
from tests.doubles.arm.world import Operation, Resource, World
from tests.doubles.pve.timeline import Steps

TYPE = "Microsoft.Compute/virtualMachines/runCommands"
MOST = 25
TAIL = 4096
SCRIPT_BYTES = 256 * 1024
GIVE_UP_SECONDS = 90 * 60.0
LOOK_SECONDS = 5.0
KIND = Kind(type=TYPE, service="compute", prefix="virtual_machine_run_commands", model="VirtualMachineRunCommand")


@endpoint(
    "compute", "virtual_machine_run_commands_create_or_update", body="VirtualMachineRunCommand", policy="UpdateVM"
)
def put(call: Call) -> Answer:
    """Have a script run, unless it is the one that ran already."""
    world, vm, body = call.world, call.resource_at(VM), call.body
    there = world.find(call.request.path)
    _check(call, vm, there)
    script = str(inner(body, "properties.source.script"))
    run, fresh = put_resource(call, TYPE)
    ran = vm.extra.setdefault("ran", {})
    again = run.key in ran and (fresh or ran[run.key] == script)
    operation = world.operation(run, "put")
    run.properties["provisioningState"] = "Creating" if fresh else "Updating"
    if again:
        run.extra.setdefault("view", {"executionState": "Unknown"})
        run.properties["provisioningState"] = "Succeeded"
        operation.ended = world.now()
    else:
        ran[run.key] = script
        run.extra["view"] = {"executionState": "Pending"}
        world.timeline.spawn(_running(world, vm, run, operation))
    return Answer(status=201 if fresh else 200, body=run.shown(), headers=pending(call, operation, location=False))


def _check(call: Call, vm: Resource, there: Resource | None) -> None:
    check_tags(call.body.get("tags") or {})
    script = inner(call.body, "properties.source.script")
    if not script:
        raise invalid("Exactly one of source.script, source.scriptUri, source.commandId must be given.", "source")
    if len(script.encode()) > SCRIPT_BYTES:
        raise invalid("The script is longer than 256 KiB.", "source.script")
    if vm.extra.get("power") != "running":
        message = "Cannot modify extensions in the VM when the VM is not running."
        raise Refusal(409, "OperationNotAllowed", message)
    if there is not None:
        refuse_busy(there)
    elif len(runs_of(call.world, vm)) >= MOST:
        raise Refusal(409, "OperationNotAllowed", f"A VM has at most {MOST} run commands.")


def runs_of(world: World, vm: Resource) -> list[Resource]:
    """Return a VM's run commands, oldest first."""
    return [one for one in world.of_kind(TYPE) if one.key.startswith(f"{vm.key}/")]


def _running(world: World, vm: Resource, run: Resource, operation: Operation) -> Steps[None]:
    """Wait for the agent and for its turn, run, and take its time."""
    began, boot = world.now(), vm.extra.get("boots")
    while not _turn(world, vm, run):
        yield LOOK_SECONDS
        if run.key not in world.resources or vm.key not in world.resources:
            operation.ended = world.now()
            return
        if world.now() - began > GIVE_UP_SECONDS:
            _gave_up(world, run, operation)
            return
    run.extra["view"] = {"executionState": "Running", "startTime": _iso(world.now())}
    if run.properties.get("asyncExecution"):
        _provisioned(world, run, operation)
    limit, began = float(run.properties.get("timeoutInSeconds") or GIVE_UP_SECONDS), world.now()
    outcome = yield from _outcome(world, vm, world.guests.run(vm.key, str(run.properties["source"]["script"])), limit)
    yield max(0.0, max(RUN_SECONDS, min(outcome.seconds, limit)) - (world.now() - began))
    if vm.extra.get("boots") != boot or vm.extra.get("power") != "running":
        return  # the machine went down with it: nobody says how it ended
    _ended(run, outcome, timed_out=outcome.seconds > limit, now=world.now())
    if not operation.done:
        _provisioned(world, run, operation)


def _outcome(world: World, vm: Resource, started: Started, limit: float) -> Steps[Outcome]:
    """Look at a script until it has ended, its time is over, or its machine is off."""
    began, outcome = world.now(), started.look()
    while outcome is None:
        yield LOOK_SECONDS
        spent = world.now() - began
        on = vm.extra.get("power") == "running"
        outcome = started.look() if on and spent <= limit else Outcome(exit_code=-1, seconds=spent)
    return outcome


def _turn(world: World, vm: Resource, run: Resource) -> bool:
    """Tell whether the agent takes this one now."""
    if world.run_command_needs_egress and not is_connected(world, vm):
        return False
    waiting = [one for one in runs_of(world, vm) if one.extra["view"]["executionState"] in {"Pending", "Running"}]
    return world.guests.agent_ready(vm.key) and bool(waiting) and waiting[0] is run


def _provisioned(world: World, run: Resource, operation: Operation) -> None:
    def succeed() -> None:
        run.properties["provisioningState"] = "Succeeded"

    world.end(run, operation, succeed, lambda: None)


def _gave_up(world: World, run: Resource, operation: Operation) -> None:
    operation.ended = world.now()
    operation.error = Refusal(
        409,
        "VMExtensionProvisioningTimeout",
        f"Provisioning of VM extension {run.name} has timed out. Extension installation may be taking too long, or "
        "extension status could not be obtained.",
    )
    run.properties["provisioningState"] = "Failed"


def _ended(run: Resource, outcome: Outcome, *, timed_out: bool, now: float) -> None:
    state = "TimedOut" if timed_out else ("Succeeded" if outcome.exit_code == 0 else "Failed")
    run.extra["view"] |= {
        "executionState": state,
        "exitCode": -1 if timed_out else outcome.exit_code,
        "output": tail(outcome.stdout),
        "error": tail(outcome.stderr),
        "endTime": _iso(now),
    }


def tail(text: str) -> str:
    """Return the last 4 KiB."""
    return text.encode()[-TAIL:].decode("utf-8", "replace")


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _shown(run: Resource, query: dict[str, str]) -> dict[str, Any]:
    shown = run.shown()
    if query.get("$expand", "").lower() == "instanceview":
        shown["properties"]["instanceView"] = dict(run.extra["view"])
    return shown


@endpoint("compute", "virtual_machine_run_commands_get_by_virtual_machine", policy="LowCostGetVM")
def get(call: Call) -> Answer:
    """Show a run command; its result only when asked for ($expand=instanceView)."""
    return Answer(status=200, body=_shown(call.resource(), call.request.query))


@endpoint("compute", "virtual_machine_run_commands_list_by_virtual_machine", policy="LowCostGetVM")
def listed(call: Call) -> Answer:
    """List a VM's run commands."""
    found = runs_of(call.world, call.resource_at(VM))
    return Answer(status=200, body={"value": [_shown(one, call.request.query) for one in found]})


@endpoint("compute", "virtual_machine_run_commands_delete", policy="UpdateVM")
def remove(call: Call) -> Answer:
    """Remove a run command, and end it when it runs."""
    run = call.world.find(call.request.path)
    if run is not None and run.operation is not None and run.operation.verb == "put" and run.busy:
        run.operation.ended = call.world.now()
    return delete(KIND, call)
