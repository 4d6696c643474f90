"""What `up` did, on disk, so that a later `up` goes on and `down` undoes exactly that."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from vmclone_lab.errors import LabError

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = 1


@dataclass(frozen=True)
class ProcessRecord:
    """A process that the lab started; pid and start time together name it for ever."""

    pid: int
    start_ticks: int
    """Field 22 of /proc/PID/stat: clock ticks after boot."""
    argv: tuple[str, ...] = ()


@dataclass
class Record:
    """The content of lab.json."""

    boot_id: str = ""
    processes: dict[str, ProcessRecord] = field(default_factory=dict)
    created_directories: list[str] = field(default_factory=list)
    sysctls: dict[str, str] = field(default_factory=dict)
    """Machine-wide settings that the kubelet changes, as they were before."""
    components: list[str] = field(default_factory=list)
    external_kubeconfig: str = ""
    kvm: bool = False
    """Whether guests run under KVM; decided when libvirtd starts."""

    def to_json(self) -> str:
        """Render for the disk."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Record:
        """Parse what `to_json` wrote; refuse anything else with a sentence."""
        try:
            data: dict[str, Any] = json.loads(text)
            if data.pop("format") != FORMAT:
                raise LabError("the lab's state file has another format: use the lab that made it")
            processes = {
                name: ProcessRecord(item["pid"], item["start_ticks"], tuple(item["argv"]))
                for name, item in data.pop("processes").items()
            }
            return cls(processes=processes, **data)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LabError(f"the lab's state file can not be read: {error}") from error


def write_atomically(path: Path, text: str, mode: int = 0o600) -> None:
    """Replace `path` in one step: an interrupted write leaves the old content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(text)
    temporary.chmod(mode)
    os.replace(temporary, path)  # noqa: PTH105 - same call as Path.replace


def load(path: Path) -> Record:
    """Return the record on disk, or an empty one."""
    return Record.from_json(path.read_text()) if path.exists() else Record()


def save(path: Path, record: Record) -> None:
    """Store the record."""
    write_atomically(path, record.to_json())
