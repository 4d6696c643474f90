"""What is known to be in the way of clones before anything is copied. Pure: what was seen and what is wanted in."""

from __future__ import annotations

from collections.abc import Iterator

from vmclone_operator.domain.backend import Finding, PlanWish, Power
from vmclone_operator.domain.errors import CapabilityMissing, GuestAgentMissing
from vmclone_operator.providers.azure.bodies import NO_SIZE
from vmclone_operator.providers.azure.clones import Place
from vmclone_operator.providers.azure.names import is_refused_as_tag
from vmclone_operator.providers.azure.sources import Seen

_POOL = "leave disk.pool out: on Azure a copy has the kind of its source's disk"
_SHAPE = "leave template.cpus and template.memory out: on Azure a VM has a size; set template.size"
_NETWORKS = "leave template.networks out: on Azure clones hang on azure.subnetID of the CloneBackend"


def findings(seen: Seen | None, wish: PlanWish, place: Place) -> Iterator[Finding]:
    """Return every reason why this source cannot be cloned so; None: it is at another backend, and an image is used."""
    refused = sorted(label for label in wish.labels if is_refused_as_tag(label))
    wrong = [
        (bool(wish.pool), _POOL),
        (bool(wish.shape.cpus or wish.shape.memory_bytes), _SHAPE),
        (bool(wish.shape.networks), _NETWORKS),
        (
            bool(refused),
            f"the labels {', '.join(refused)} can be no tags on Azure, where those names are taken: rename them",
        ),
        (seen is None and not (wish.shape.size or place.size), NO_SIZE),
    ]
    wrong += [] if seen is None else _of_source(seen, place)
    for is_so, sentence in wrong:
        if is_so:
            yield Finding(reason=CapabilityMissing.reason, message=sentence)
    if seen is not None and wish.agent and not wish.image and seen.power is Power.ON and not seen.agent:
        told = (
            f"Azure's agent in {seen.name} does not report: install walinuxagent in it; a clone is reached by it alone"
        )
        yield Finding(reason=GuestAgentMissing.reason, message=told)


def _of_source(seen: Seen, place: Place) -> list[tuple[bool, str]]:
    return [
        (_region(seen.location) != _region(place.location), _elsewhere(seen, place)),
        (_is_windows(seen), f"the source {seen.name} runs Windows: only Linux guests get an identity of their own"),
    ]


def _elsewhere(seen: Seen, place: Place) -> str:
    return (
        f"the source {seen.name} is in {seen.location}, the CloneBackend's clones go to {place.location}: use a"
        " CloneBackend of the source's region"
    )


def _region(name: str) -> str:
    """Return a region as it is compared: `West Europe` and `westeurope` are one."""
    return name.replace(" ", "").lower()


def _is_windows(seen: Seen) -> bool:
    boot = (seen.vm["properties"].get("storageProfile") or {}).get("osDisk") or {}
    return str(boot.get("osType", "Linux")).lower() == "windows"
