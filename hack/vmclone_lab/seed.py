"""Makes NoCloud seeds: a label and two small files that cloud-init reads at first boot."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from vmclone_lab.commands import run

USER = "dev"


def meta_data(name: str, uuid: str) -> str:
    """Return the meta-data (JSON is YAML): the instance is the VM, not its name."""
    return json.dumps({"instance-id": uuid, "local-hostname": name}) + "\n"


def user_data(public_key: str) -> str:
    """Return the user-data: one user with sudo and key login, a home worth copying."""
    user = {
        "name": USER,
        "gecos": "Developer",
        "shell": "/bin/bash",
        "sudo": "ALL=(ALL) NOPASSWD:ALL",
        "lock_passwd": True,
        "ssh_authorized_keys": [public_key],
    }
    document = {"users": [user], "ssh_pwauth": False, "disable_root": True}
    return "#cloud-config\n" + json.dumps(document, indent=2) + "\n"


def write(target: Path, name: str, uuid: str, public_key: str) -> None:
    """Write the seed image."""
    temporary = target.with_name(target.name + ".new")
    with tempfile.TemporaryDirectory() as folder:
        files = {"meta-data": meta_data(name, uuid), "user-data": user_data(public_key)}
        paths = [Path(folder) / file for file in files]
        for path in paths:
            path.write_text(files[path.name])
        options = ["-quiet", "-volid", "cidata", "-joliet", "-rock", "-output", str(temporary)]
        run(["genisoimage", *options, *paths])
    temporary.rename(target)
