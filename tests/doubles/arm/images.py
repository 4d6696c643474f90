"""Marketplace images: a reference with `latest` is resolved, an unknown one refused.

azure-compute-docs articles/virtual-machines/linux/cli-ps-findimage.md; the texts of ImageNotFound and
PlatformImageNotFound are those of azure-cli issue 5157 and terraform-provider-azurerm issue 1498.
"""

from __future__ import annotations

from typing import Any

from tests.doubles.arm.call import Answer, Call, endpoint
from tests.doubles.arm.refusals import Refusal, invalid
from tests.doubles.arm.world import World


def known_image(world: World, reference: dict[str, Any] | None) -> str:
    """Return the urn or id of an image; raises Refusal for one that is not there."""
    if not reference:
        raise invalid("Required parameter 'imageReference' is missing (null).", "imageReference")
    if reference.get("id"):
        found = world.find(reference["id"])
        if found is None:
            raise Refusal(
                404, "ImageNotFound", f"The image '{reference['id']}' was not found.", target="imageReference"
            )
        return found.key
    urn = ":".join(str(reference.get(part, "")) for part in ("publisher", "offer", "sku"))
    versions = world.images.get(urn, [])
    version = str(reference.get("version", ""))
    if version == "latest" and versions:
        version = versions[-1]
    if version not in versions:
        raise Refusal(
            404,
            "PlatformImageNotFound",
            f"The platform image '{urn}:{version}' is not available. Verify that all fields in the storage profile are "
            "correct.",
            target="imageReference",
        )
    return f"{urn}:{version}"


def image_of(world: World, reference: dict[str, Any] | None) -> str:
    """Return what an image that was accepted is called; empty for a VM around disks."""
    return known_image(world, reference) if reference else ""


@endpoint("compute", "virtual_machine_images_list")
def versions(call: Call) -> Answer:
    """List an image's versions, oldest first."""
    urn = ":".join(call.params[part] for part in ("publisher_name", "offer", "skus"))
    listed = call.world.images.get(urn, [])
    if call.request.query.get("$orderby", "").lower() == "name desc":
        listed = listed[::-1]
    top = int(call.request.query.get("$top", len(listed)))
    found = [{"name": one, "location": call.params["location"], "id": f"{call.request.path}/{one}"} for one in listed]
    return Answer(status=200, body=found[:top])


@endpoint("compute", "virtual_machine_images_get")
def version(call: Call) -> Answer:
    """Show one version."""
    urn = ":".join(call.params[part] for part in ("publisher_name", "offer", "skus"))
    if call.params["version"] not in call.world.images.get(urn, []):
        raise Refusal(404, "NotFound", f"Artifact: VMImage was not found: {urn}:{call.params['version']}")
    body = {
        "name": call.params["version"],
        "location": call.params["location"],
        "id": call.request.path,
        "properties": {"osDiskImage": {"operatingSystem": "Linux", "sizeInGb": 30}, "architecture": "x64"},
    }
    return Answer(status=200, body=body)
