"""What a clone's VM is made of, as Azure is asked for it: around copied disks, or from an image. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from vmclone_operator.domain.backend import CloneIntent
from vmclone_operator.domain.errors import CloneFailed
from vmclone_operator.providers.azure.arm import Json
from vmclone_operator.providers.azure.names import disk_name
from vmclone_operator.providers.cloud_config import clean_user_data

NO_SIZE = (
    "the source is at another backend and has no VM size of Azure: set template.size, or azure.size in the CloneBackend"
)
_CUSTOM_DATA_CHARACTERS = 65535 * 4 // 3
"""Of base64: 64 KiB (azure-docs articles/virtual-machines/custom-data.md)."""


def from_disks(intent: CloneIntent, disks: Sequence[tuple[int, str]], source: Json) -> Json:
    """Return what a VM around copied disks has; LUN and id of each, the boot disk first."""
    boot = {"createOption": "Attach", "osType": "Linux", "managedDisk": {"id": disks[0][1]}}
    data = [{"lun": lun, "createOption": "Attach", "managedDisk": {"id": disk}} for lun, disk in disks[1:]]
    profile: Json = {"osDisk": boot, "dataDisks": data}
    controller = source["storageProfile"].get("diskControllerType")
    if controller:
        profile["diskControllerType"] = controller
    return {"storageProfile": profile, "userData": _encoded(_seed_of_a_copy(intent))}


def security(source: Json, *, clean: bool) -> Json:
    """Return a clone's security profile: a copy has its source's, another image only what does not depend on it."""
    return {name: value for name, value in source.items() if not clean or name == "encryptionAtHost"}


def from_image(intent: CloneIntent) -> Json:
    """Return what a VM of an image has; raises CloneFailed when its custom data is too long."""
    seed = intent.seed
    publisher, offer, sku, version = intent.frozen_handle.split(":")
    user = seed.user or "vmclone"
    keys = seed.authorized_keys or (_nobodys_key(),)
    listed = [{"path": f"/home/{user}/.ssh/authorized_keys", "keyData": key} for key in keys]
    linux: Json = {"disablePasswordAuthentication": True, "ssh": {"publicKeys": listed}}
    reference = {"publisher": publisher, "offer": offer, "sku": sku, "version": version}
    # Made by Azure with the VM and without our tags: it goes with the VM, whatever happens before it is stamped.
    boot = {"name": disk_name(intent.vm_name, 0), "createOption": "FromImage", "deleteOption": "Delete"}
    data = _encoded(clean_user_data(seed))
    if len(data) > _CUSTOM_DATA_CHARACTERS:
        raise CloneFailed("the cloud-config in spec.template.cloudInit is too long: Azure takes 64 KiB with our part")
    profile: Json = {"computerName": seed.hostname, "adminUsername": user, "linuxConfiguration": linux}
    profile["customData"] = data
    return {"storageProfile": {"imageReference": reference, "osDisk": boot}, "osProfile": profile}


def _nobodys_key() -> str:
    """Return a public key whose private half was never kept: Azure makes no VM without a key or a password."""
    made = Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return f"{made.decode()} nobody"


def _seed_of_a_copy(intent: CloneIntent) -> Json:
    """Return what cloud-init finds in a Disk clone: without it, it would make the default user."""
    return {"hostname": intent.seed.hostname, "preserve_hostname": False, "users": [], "ssh_deletekeys": False}


def _encoded(config: Mapping[str, object]) -> str:
    text = f"#cloud-config\n{json.dumps(config, indent=1)}\n"
    return base64.b64encode(text.encode()).decode()
