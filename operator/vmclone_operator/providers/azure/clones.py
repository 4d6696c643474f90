"""Clones on Azure: disks, a quarantined network interface, the VM; and all of it away again.

Every step looks at what stands under the clone's names and begins what lacks, so it may be called at any moment and
after any lost reply. A new VM runs at once; until `connect` its network security group lets nothing through.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vmclone_operator.domain.backend import (
    CloneIntent,
    CloneRef,
    Mode,
    ObservedClone,
    OperationState,
    Owner,
    Power,
    Progress,
    Shape,
    Stamp,
)
from vmclone_operator.domain.errors import CapabilityMissing, CloneError, CloneFailed, RetryLater, TargetConflict
from vmclone_operator.domain.ownership import mismatch
from vmclone_operator.providers.azure import bodies, translate
from vmclone_operator.providers.azure.arm import DISK, NIC, NSG, VM, Arm, Json, Kind, state_of
from vmclone_operator.providers.azure.frozen import LOOK_SECONDS, FrozenPoints
from vmclone_operator.providers.azure.names import (
    MADE,
    MADE_FROM,
    clone_tags,
    disk_name,
    group_name,
    nic_name,
    read_stamp,
    users_tags,
    without_stamp,
)
from vmclone_operator.providers.azure.sources import Seen, Sources, agent_ready, failure_of, power_state, size_of

_OF_AN_EXTENSION = "vmextension"
"""How the codes of failures begin that are an extension's, and say nothing of the VM's power.

azure-docs articles/virtual-machines/extensions/troubleshoot.md and support/azure/virtual-machines error codes.
"""
_RUNNING = Progress(state=OperationState.RUNNING, again_seconds=LOOK_SECONDS)
_DONE = OperationState.DONE
_FAILED = frozenset({"Failed", "Canceled"})
_ON = frozenset({"running", "starting"})
_HIDDEN = frozenset({"Creating", "Deleting"})
_ANYONE = {
    "sourceAddressPrefix": "*",
    "destinationAddressPrefix": "*",
    "sourcePortRange": "*",
    "destinationPortRange": "*",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where clones go, from the block `azure` of a CloneBackend."""

    location: str
    subnet_id: str
    group_id: str = ""
    """The network security group of a connected clone; empty: none of its own, its subnet's rules hold."""
    size: str = ""
    """A VM size for all clones; empty: the source's."""
    agent_traffic: bool = False
    """Whether a quarantined clone may reach AzureCloud:443, which is every tenant's public address in Azure."""

    def size_of_clone(self, shape: Shape, of_source: str) -> str:
        """Return the VM size of a clone: the template's, else the CloneBackend's, else its source's; empty: none."""
        return shape.size or self.size or of_source


class Clones:
    """The clones of one resource group."""

    def __init__(self, arm: Arm, place: Place, sources: Sources, frozen: FrozenPoints) -> None:
        self._arm, self._place, self._sources, self._frozen = arm, place, sources, frozen

    async def start(self, intent: CloneIntent) -> Progress:
        """Make a clone one step on."""
        vm = await self._arm.get(VM, intent.vm_name)
        if vm is not None:
            return await self._standing(intent, vm)
        seen = await self._source(intent)
        disks = [] if intent.mode is Mode.CLEAN or seen is None else await self._disks(intent, seen)
        card = await self._card(intent)
        if disks is None or card is None:
            return _RUNNING
        body = self._vm_body(intent, disks, card, seen)
        operation = await self._arm.put(VM, intent.vm_name, body)
        return Progress(
            state=OperationState.RUNNING,
            percent=60,
            handle=operation[:512],
            again_seconds=LOOK_SECONDS,
            external_id=self._arm.id_of("Microsoft.Compute/virtualMachines", intent.vm_name),
        )

    async def _standing(self, intent: CloneIntent, vm: Json) -> Progress:
        """Go on with the VM that is there."""
        mark = read_stamp(vm.get("tags"))
        if mark is None or mark[0] != intent.stamp:
            raise TargetConflict(f"a VM named {intent.vm_name} exists that is not ours ({vm['id']}): left alone")
        if MADE in vm["tags"]:
            return Progress(state=_DONE, percent=100, external_id=str(vm["id"]))
        state = state_of(vm)
        if state in _FAILED and await self._runs_all_the_same(intent.vm_name):
            state = "Succeeded"
        if state in _FAILED:
            code, text = await self._arm.why(intent.handle)
            await self._arm.delete(VM, intent.vm_name)  # a failed VM is in the way of the next attempt
            raise _why_failed(intent.vm_name, code, text)
        if state != "Succeeded":
            return Progress(state=OperationState.RUNNING, percent=80, again_seconds=LOOK_SECONDS)
        if intent.mode is Mode.CLEAN:
            await self._stamp_boot_disk(intent, vm)
        await self._arm.tag(VM, intent.vm_name, vm["tags"] | {MADE: "true"})
        return Progress(state=OperationState.RUNNING, percent=90, again_seconds=LOOK_SECONDS)

    async def _runs_all_the_same(self, name: str) -> bool:
        """Tell whether a VM that counts as failed is on, and only an extension of somebody's policy failed in it."""
        vm = await self._arm.get(VM, name, expand="instanceView")
        if vm is None:
            return False
        code, _ = failure_of(vm)
        return power_state(vm) in _ON and code.lower().startswith(_OF_AN_EXTENSION)

    async def _stamp_boot_disk(self, intent: CloneIntent, vm: Json) -> None:
        """Mark the boot disk that Azure made with the VM."""
        name = disk_name(intent.vm_name, 0)
        disk = await self._arm.get(DISK, name)
        if disk is not None and read_stamp(disk.get("tags")) is None and disk.get("managedBy") == vm["id"]:
            await self._arm.tag(DISK, name, clone_tags(intent.stamp, intent.token, intent.made_from))

    async def _source(self, intent: CloneIntent) -> Seen | None:
        """Return the source; None in mode Clean when it is at another backend."""
        if intent.mode is Mode.CLEAN and not self._sources.has(intent.source_id):
            return None
        return await self._sources.by_id(intent.source_id)

    async def _disks(self, intent: CloneIntent, source: Seen) -> list[tuple[int, str]] | None:
        """Make the disks; return LUN and id of each, or None while one is being made."""
        stamp = intent.stamp
        origins = await self._frozen.origins(stamp.instance, stamp.vmclone_uid, intent.frozen_token)
        skus = {disk.lun: disk.sku for disk in source.disks}
        made: list[tuple[int, str]] = []
        for number, (lun, creation) in enumerate(origins):
            name = disk_name(intent.vm_name, number)
            sku = skus.get(lun, source.disks[0].sku)
            body = self._owned(intent) | {"sku": {"name": sku}, "properties": {"creationData": creation}}
            disk = await self._made(DISK, name, intent, body)
            if disk is not None:
                made.append((lun, str(disk["id"])))
        return made if len(made) == len(origins) else None

    async def _card(self, intent: CloneIntent) -> str | None:
        """Make the network interface, quarantined in mode Disk; return its id, or None while it is being made."""
        group = self._place.group_id
        if intent.mode is Mode.DISK:
            rules = {"properties": {"securityRules": quarantine(agent_traffic=self._place.agent_traffic)}}
            made = await self._made(NSG, group_name(intent.vm_name), intent, self._owned(intent) | rules)
            if made is None:
                return None
            group = str(made["id"])
        inside = {"subnet": {"id": self._place.subnet_id}, "privateIPAllocationMethod": "Dynamic"}
        properties: Json = {"ipConfigurations": [{"name": "main", "properties": inside}]}
        if group:
            properties["networkSecurityGroup"] = {"id": group}
        card = await self._made(NIC, nic_name(intent.vm_name), intent, self._owned(intent) | {"properties": properties})
        return None if card is None else str(card["id"])

    def _owned(self, intent: CloneIntent) -> Json:
        tags = users_tags(intent.labels) | clone_tags(intent.stamp, intent.token, intent.made_from)
        return {"location": self._place.location, "tags": tags}

    async def _made(self, kind: Kind, name: str, intent: CloneIntent, body: Json) -> Json | None:
        """Return a part of the clone once it is complete; begin to make it when it is not there."""
        found = await self._arm.get(kind, name)
        if found is None:
            await self._arm.put(kind, name, body)
            return None
        mark = read_stamp(found.get("tags"))
        if mark is None or mark[0] != intent.stamp:
            raise TargetConflict(f"{found['id']} has the name that the clone needs and is not ours: left alone")
        state = state_of(found)
        if kind is DISK and mark[1] != intent.token:
            if state != "Deleting":
                await self._arm.delete(kind, name)  # of an earlier attempt: it may be of another frozen point
            return None
        if state == "Succeeded":
            return found
        if state in _FAILED:
            await self._arm.delete(kind, name)
            raise CloneFailed(f"Azure could not make {found['id']}; it is removed and made again at the next attempt")
        return None

    def _vm_body(self, intent: CloneIntent, disks: Sequence[tuple[int, str]], card: str, seen: Seen | None) -> Json:
        """Return the VM to make; in mode Clean its source gives the size alone, and may be at another backend."""
        clean = intent.mode is Mode.CLEAN
        copied = seen.vm["properties"] if seen is not None else {}
        size = self._place.size_of_clone(intent.shape, size_of(seen))
        if not size:
            raise CapabilityMissing(bodies.NO_SIZE)
        properties: Json = {
            "hardwareProfile": {"vmSize": size},
            "networkProfile": {"networkInterfaces": [{"id": card}]},
            "diagnosticsProfile": {"bootDiagnostics": {"enabled": True}},
        }
        security = bodies.security(copied.get("securityProfile") or {}, clean=clean)
        if security:
            properties["securityProfile"] = security
        properties |= bodies.from_image(intent) if clean else bodies.from_disks(intent, disks, copied)
        body = self._owned(intent) | {"properties": properties}
        if seen is not None and seen.vm.get("plan") and not clean:
            body["plan"] = seen.vm["plan"]
        return body

    async def find(self, ref: CloneRef) -> ObservedClone | None:
        """Return a clone as it is now, once it is made; two reads.

        One that was made is there whatever its last operation came to: a start that failed leaves it `Failed`.
        """
        vm = await self._arm.get(VM, ref.vm_name, expand="instanceView")
        if vm is None or state_of(vm) in _HIDDEN or not (ref.made or MADE in (vm.get("tags") or {})):
            return None
        mark = read_stamp(vm.get("tags"))
        if mark is None or mark[0] != ref.stamp:
            return None
        return _observed(vm, mark, connected=await self._connected(ref.vm_name), complete=True)

    async def find_all(self, owner: Owner) -> Sequence[ObservedClone]:
        """List an owner's clones; a minute old at worst."""
        cards = {str(one["name"]): one for one in await self._arm.list(NIC)}
        found = []
        for vm in await self._arm.list(VM, expand="instanceView"):
            mark = read_stamp(vm.get("tags"))
            if mark is None or not mark[0].belongs_to(owner) or state_of(vm) in _HIDDEN:
                continue
            card = cards.get(nic_name(str(vm["name"])))
            made = MADE in vm["tags"]
            found.append(_observed(vm, mark, connected=_open(card, str(vm["name"])), complete=made))
        return found

    async def _connected(self, vm_name: str) -> bool:
        return _open(await self._arm.get(NIC, nic_name(vm_name)), vm_name)

    async def connect(self, ref: CloneRef) -> None:
        """Put the clone's network interface behind the real rules."""
        await self.owned(ref)
        name = nic_name(ref.vm_name)
        card = await self._arm.get(NIC, name)
        if card is None:
            raise RetryLater(f"the network interface {name} is not there")
        _require(card, ref.stamp)
        if _open(card, ref.vm_name):
            return
        group = {"id": self._place.group_id} if self._place.group_id else None
        configurations = [_written(one) for one in card["properties"]["ipConfigurations"]]
        properties: Json = {"ipConfigurations": configurations, "networkSecurityGroup": group}
        body = {"location": card["location"], "tags": card["tags"], "properties": properties}
        await self._arm.put(NIC, name, body)

    async def owned(self, ref: CloneRef) -> Json:
        """Return the clone's VM; raises OwnershipMismatch for another's."""
        vm = await self._arm.get(VM, ref.vm_name, expand="instanceView")
        if vm is None:
            stamp = ref.stamp
            raise RetryLater(f"the VM of replica {stamp.vmclone}-{stamp.ordinal} does not exist (any more)")
        _require(vm, ref.stamp)
        return vm

    async def set_power(self, ref: CloneRef, power: Power) -> None:
        """Start or deallocate the clone; a stopped one would go on costing money.

        Azure takes a start at once and may fail later, for it has no machine. The next call starts the VM once more
        and raises why the last one failed, so that people learn it.
        """
        vm = await self.owned(ref)
        state = power_state(vm)
        if power is Power.ON and state not in _ON:
            await self._arm.begin(VM, "begin_start", ref.vm_name)
            code, text = failure_of(vm)
            if code and not code.lower().startswith(_OF_AN_EXTENSION):
                raise translate.refused(409, code, f"the VM {ref.vm_name} could not be started: {text}")
        if power is Power.OFF and state not in {"deallocated", "deallocating"}:
            await self._arm.begin(VM, "begin_deallocate", ref.vm_name)

    async def delete(self, ref: CloneRef) -> Progress:
        """Remove a clone one step on: VM, then its network interface, then disks and rules."""
        vm = await self._arm.get(VM, ref.vm_name)
        if vm is not None:
            return await self._remove([(VM, vm)], ref)
        disks = await self._numbered(ref)
        card = await self._arm.get(NIC, nic_name(ref.vm_name))
        rules = await self._arm.get(NSG, group_name(ref.vm_name))
        left = [(NIC, card)] if card is not None else [(NSG, rules)] if rules is not None else []
        if not left and not disks:
            return await self._remove([(DISK, one) for one in await self._listed(ref)], ref)
        # From the last one down: what is left after a kill is found by counting up from 0.
        return await self._remove([*left, *([(DISK, disks[-1])] if disks else [])], ref)

    async def _numbered(self, ref: CloneRef) -> list[Json]:
        """Return the clone's disks up to the first that is not there, by name and so without delay."""
        disks: list[Json] = []
        while (disk := await self._arm.get(DISK, disk_name(ref.vm_name, len(disks)))) is not None:
            disks.append(disk)
        return disks

    async def _listed(self, ref: CloneRef) -> list[Json]:
        """Return the clone's disks by their stamp: where Azure could not make one, their numbers have a gap."""
        named = disk_name(ref.vm_name, 0).removesuffix("0")
        marked = [(one, read_stamp(one.get("tags"))) for one in await self._arm.list(DISK)]
        ours = [one for one, mark in marked if mark is not None and mark[0] == ref.stamp]
        return [one for one in ours if str(one["name"]).startswith(named)]

    async def _remove(self, left: Sequence[tuple[Kind, Json]], ref: CloneRef) -> Progress:
        if not left:
            return Progress(state=_DONE, percent=100)
        for _, one in left:
            _require(one, ref.stamp)
        for kind, one in left:
            if state_of(one) != "Deleting":
                await self._arm.delete(kind, str(one["name"]))
        return _RUNNING

    async def disown(self, ref: CloneRef) -> bool:
        """Take our tags off a clone, its parts first; return whether a VM stands there without them."""
        vm = await self._arm.get(VM, ref.vm_name)
        if vm is None:
            return False
        if read_stamp(vm.get("tags")) is None:
            return True
        _require(vm, ref.stamp)
        parts = [(NIC, nic_name(ref.vm_name)), (NSG, group_name(ref.vm_name))]
        disks = {str(one["name"]) for one in [*await self._numbered(ref), *await self._listed(ref)]}
        for kind, name in [*((DISK, name) for name in sorted(disks)), *parts, (VM, ref.vm_name)]:
            part = await self._arm.get(kind, name)
            if part is not None and read_stamp(part.get("tags")) is not None:
                _require(part, ref.stamp)
                await self._arm.tag(kind, name, without_stamp(part.get("tags")))
        return True

    async def unstamped(self, ref: CloneRef) -> str:
        """Return the name of a VM that has the clone's name and not its stamp; empty when there is none."""
        vm = await self._arm.get(VM, ref.vm_name)
        mark = None if vm is None else read_stamp(vm.get("tags"))
        return ref.vm_name if vm is not None and (mark is None or mark[0] != ref.stamp) else ""


def quarantine(*, agent_traffic: bool) -> list[Json]:
    """Return the rules of a clone that has no identity of its own yet: nothing in, nothing out."""
    rules = [
        _rule("DenyIn", 4000, "Inbound", "Deny"),
        _rule("DenyOut", 4000, "Outbound", "Deny"),
    ]
    if agent_traffic:
        changed = {"protocol": "Tcp", "destinationAddressPrefix": "AzureCloud", "destinationPortRange": "443"}
        allowed = _rule("AgentOut", 3000, "Outbound", "Allow")
        rules.append(allowed | {"properties": allowed["properties"] | changed})
    return rules


def _rule(name: str, priority: int, direction: str, access: str) -> Json:
    decided = {"priority": priority, "direction": direction, "access": access, "protocol": "*"}
    return {"name": name, "properties": decided | _ANYONE}


def _written(configuration: Json) -> Json:
    """Return an IP configuration as it may be put again: without what Azure only answers."""
    inside = configuration["properties"]
    kept = {name: inside[name] for name in ("privateIPAllocationMethod", "privateIPAddress") if name in inside}
    kept["subnet"] = {"id": inside["subnet"]["id"]}
    if inside.get("publicIPAddress"):
        kept["publicIPAddress"] = {"id": inside["publicIPAddress"]["id"]}
    return {"name": configuration["name"], "properties": kept}


def _open(card: Json | None, vm_name: str) -> bool:
    """Tell whether a card is out of quarantine."""
    group = ((card or {}).get("properties") or {}).get("networkSecurityGroup") or {}
    name = str(group.get("id", "")).rsplit("/", 1)[-1]
    return card is not None and name.lower() != group_name(vm_name).lower()


def _observed(vm: Json, mark: tuple[Stamp, str], *, connected: bool, complete: bool) -> ObservedClone:
    return ObservedClone(
        stamp=mark[0],
        token=mark[1],
        external_id=str(vm["id"]),
        vm_name=str(vm["name"]),
        complete=complete,
        power=Power.ON if power_state(vm) in _ON else Power.OFF,
        connected=connected,
        agent=agent_ready(vm),
        made_from=str((vm.get("tags") or {}).get(MADE_FROM, "")),
    )


def _require(resource: Json, stamp: Stamp) -> None:
    mark = read_stamp(resource.get("tags"))
    if mark is None or mark[0] != stamp:
        raise mismatch(str(resource.get("id")), None if mark is None else mark[0], stamp)


def _why_failed(name: str, code: str, text: str) -> CloneError:
    if not code:
        return CloneFailed(f"Azure could not make the VM {name} and does not say why; it is removed and tried again")
    return translate.refused(409, code, f"the VM {name} could not be made: {text}")
