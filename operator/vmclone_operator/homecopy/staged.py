"""Transfer Staged: pulled to a volume of the relay, then pushed, for sources that forbid forwarding.

The scanned list is fetched first and used for both legs, so that what an earlier attempt left on the volume
never travels unless this scan lets it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vmclone_operator.homecopy.connection import SOURCE, agent_environment, clone_at
from vmclone_operator.homecopy.job import CopyJob
from vmclone_operator.homecopy.source.program import PREFIX
from vmclone_operator.homecopy.source.send import CLONE, rsync_command, run_rsync, write_clone_config

_FOLDER = re.compile(rf"/[A-Za-z0-9_./-]*/{PREFIX}[A-Za-z0-9_]+")

Tell = Callable[[dict[str, Any]], None]
Cut = Callable[[Callable[[], None]], None]


def pull_and_push(
    job: CopyJob, folder: Path, source_folder: str, staging: Path, *, options: dict[str, Any], tell: Tell, cut: Cut
) -> dict[str, Any]:
    """Run both legs; return what the last of them (or the first that failed) ended with."""
    if not _FOLDER.fullmatch(source_folder) or ".." in source_folder:
        return {"code": 1, "stderr": "the source named a folder that is not ours", "sentBytes": 0}
    tree = staging / "home"
    tree.mkdir(mode=0o700, exist_ok=True)
    write_clone_config(str(folder), clone_at(job, job.clone.address, job.clone.port))
    pulling = rsync_command(str(folder), options | {"refresh": ""}, config="source_config")
    pushing = rsync_command(str(folder), options)
    listed = ["--files-from", str(folder / "list"), "--from0"]
    legs = [
        ([*pulling, f"{SOURCE}:{source_folder}/list", str(folder / "list")], dict(os.environ)),
        ([*pulling, *listed, f"{SOURCE}:{source_folder}/home/", f"{tree}/"], dict(os.environ)),
        ([*pushing, *listed, f"{tree}/", f"{CLONE}:."], agent_environment(folder)),
    ]
    ended: dict[str, Any] = {}
    for leg, (command, environment) in enumerate(legs):
        ended = run_rsync(command, _told_as(leg, len(legs), tell), cut, environment)
        if ended["code"]:
            break
    return ended


def _told_as(leg: int, legs: int, tell: Tell) -> Tell:
    """Return what tells progress as a share of all legs; the list is the first and counts for nothing."""
    if not leg:
        return lambda _: None
    return lambda answer: tell(answer | {"leg": leg - 1, "legs": legs - 1})
