"""The NoCloud seed of a clone: what cloud-init reads at its first boot.

In mode Disk nothing secret is in it. In mode Clean it holds the clone's host key, which only root of that clone
and of its host can read. An ISO 9660 image made in memory: the operator may run far from the storage, and needs no
tool for it.
"""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pycdlib

from vmclone_operator.domain.backend import Mode
from vmclone_operator.providers.cloud_config import clean_user_data

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vmclone_operator.domain.backend import Seed

LABEL = "cidata"
SEED_BYTES = 34816
"""How much of a disk's beginning `is_seed` looks at."""
_LABELS = frozenset({b"cidata", b"config-2", b"ovf env", b"ignition", b"combustion"})
"""What cloud-init, Ignition and Combustion look for at boot."""
_EXT_MAGIC = slice(1080, 1082)
# A distribution's boot waits up to 2 minutes for a network; once, in the first boot, there is none on purpose.
_END_NETWORK_WAITS = [
    *("cloud-init-per", "instance", "vmclone-quarantine"),
    *("systemctl", "--no-block", "stop", "*-wait-online.service"),
]
_FILES = {"meta-data": "METADATA.;1", "user-data": "USERDATA.;1"}


def seed_files(seed: Seed, mode: Mode = Mode.DISK) -> dict[str, bytes]:
    """Return the seed's files by name. JSON is YAML, so nothing is quoted by hand."""
    if mode is Mode.CLEAN:
        meta = {"instance-id": seed.instance_id, "local-hostname": seed.hostname}
        return {"meta-data": _json(meta), "user-data": b"#cloud-config\n" + _json(clean_user_data(seed))}
    # dsmode local: the seed is a disk, so cloud-init need not wait for a network that a quarantined boot lacks.
    meta = {"instance-id": seed.instance_id, "local-hostname": seed.hostname, "dsmode": "local"}
    user = {
        "preserve_hostname": False,
        "hostname": seed.hostname,
        # Without this a new instance gets the distribution's default user, with sudo.
        "users": [],
        # The identity step makes the host keys and reads them back; cloud-init must not race with it.
        "ssh_deletekeys": False,
        "ssh_genkeytypes": [],
        "bootcmd": [_END_NETWORK_WAITS],
    }
    return {"meta-data": _json(meta), "user-data": b"#cloud-config\n" + _json(user)}


def _json(document: Mapping[str, object]) -> bytes:
    return json.dumps(document).encode() + b"\n"


def seed_image(seed: Seed, mode: Mode = Mode.DISK) -> bytes:
    """Return the bytes of the seed disk: ISO 9660 with Rock Ridge and Joliet names."""
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=1, joliet=3, rock_ridge="1.09", vol_ident=LABEL)
    for name, content in seed_files(seed, mode).items():
        iso.add_fp(io.BytesIO(content), len(content), f"/{_FILES[name]}", rr_name=name, joliet_path=f"/{name}")
    image = io.BytesIO()
    iso.write_fp(image)
    iso.close()
    return image.getvalue()


def is_seed(head: bytes) -> bool:
    """Return whether a disk that begins so (34 KiB, or the part that exists) is a seed, by its file system's label."""
    labels = [head[32808:32840], head[43:54], head[71:82]]  # ISO 9660, FAT16, FAT32
    if head[_EXT_MAGIC] == b"\x53\xef":
        labels.append(head[1144:1160])
    return any(label.strip(b" \0").lower() in _LABELS for label in labels)
