"""Uploads of ISO images and the like (recording 10-storage, 14-57)."""

from __future__ import annotations

import hashlib
import re

from tests.doubles.faults import Dropped
from tests.doubles.pve.call import Call, endpoint
from tests.doubles.pve.refusals import Refused, wrong
from tests.doubles.pve.storages import CONTENT_FOLDERS, Storage, Volume
from tests.doubles.pve.tasks import Task
from tests.doubles.pve.timeline import Steps

_ENDINGS = {"iso": r"\.(iso|img)", "vztmpl": r"\.tar\.(gz|xz|zst|bz2)", "import": r"\.(ova|ovf|qcow2|raw|vmdk)"}
_FORM_SECONDS = 5.0
"""After which the connection of an upload breaks that is a plain form (recording 10, 56)."""
_QCOW2 = b"QFI\xfb"


@endpoint("POST", "/nodes/{node}/storage/{storage}/upload")
def upload(call: Call) -> Steps[str]:
    """Begin the task that puts an uploaded file where it belongs; an existing one is overwritten."""
    params = call.params
    if call.upload is None:
        yield _FORM_SECONDS
        raise Dropped
    storage = call.world.storages.usable(params["storage"], call.node)
    kind = params["content"]
    name = kept_name(params["filename"])
    if not re.search(_ENDINGS[kind] + "$", name, re.IGNORECASE):
        raise wrong("filename", "wrong file extension")
    if kind not in storage.content:
        raise Refused(f"storage '{storage.name}' does not support '{kind}' content")
    data = call.upload[1]
    task = call.begin("imgcopy", "")
    return call.world.work(task, _import(call, task, storage, name, data))


def kept_name(name: str) -> str:
    """Return the name that a file gets: without its path, odd characters replaced (recording 10, 32 and 43)."""
    return re.sub(r"[^-a-zA-Z0-9_.]", "_", re.split(r"[/\\]", name)[-1])


def _import(call: Call, task: Task, storage: Storage, name: str, data: bytes) -> Steps[None]:
    source = f"/var/tmp/pveupload-{call.world.new_uuid().replace('-', '')}"  # noqa: S108 - the server's own path
    task.log.append(f"starting file import from: {source}")
    yield call.world.pace(call.world.timing.task)
    _check_sum(call, task, data)
    kind = call.params["content"]
    if kind == "import" and name.endswith("qcow2") and not data.startswith(_QCOW2):
        raise _no_qcow2(task, source)
    where = f"{storage.path}/{CONTENT_FOLDERS[kind]}/{name}"
    task.log += [f"target node: {call.node}", f"target file: {where}", f"file size is: {len(data)}"]
    task.log.append(f"command: cp -- {source} {where}")
    if call.world.storages.used(storage.name) + len(data) > storage.total:
        raise Refused(f"import failed: cp: error writing '{where}': No space left on device")
    form = kind if kind == "iso" else name.rsplit(".", 1)[-1]
    held = {"format": form, "size": len(data), "used": len(data), "content": kind, "data": data}
    call.world.storages.add(Volume(storage=storage.name, name=f"{kind}/{name}", made=call.world.now(), **held))
    task.log.append("finished file import successfully")


def _check_sum(call: Call, task: Task, data: bytes) -> None:
    wanted, algorithm = call.params.get("checksum"), call.params.get("checksum-algorithm")
    if wanted is None or algorithm is None:
        return
    got = hashlib.new(algorithm, data).hexdigest()
    if got != wanted.lower():
        task.log.append("calculating checksum...")
        raise Refused(f"checksum mismatch: got '{got}' != expect '{wanted}'")
    task.log.append("calculating checksum...OK, checksum verified")


def _no_qcow2(task: Task, source: str) -> Refused:
    task.log.append(f"command '/usr/bin/qemu-img info '--output=json' {source} -f qcow2' failed: exit code 1")
    return Refused(f"qemu-img: Could not open '{source}': Image is not in qcow2 format")
