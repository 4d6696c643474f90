"""Transfer Staged: pulled to a volume of the relay, then pushed, for sources that forbid forwarding.

The scanned list is fetched first and used for both legs, so that what an earlier attempt left on the volume
never travels unless this scan lets it.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vmclone_operator.homecopy.connection import SOURCE, agent_environment, clone_at
from vmclone_operator.homecopy.job import CopyJob
from vmclone_operator.homecopy.source.environment import PATH
from vmclone_operator.homecopy.source.program import PREFIX
from vmclone_operator.homecopy.source.send import CLONE, rsync_command, run_rsync, write_clone_config

_FOLDER = re.compile(rf"/[A-Za-z0-9_./-]*/{PREFIX}[A-Za-z0-9_]+")

_WHOLE = "home"
_THROUGH = (0, 23, 24)
"""With 23 and 24 rsync left something out, which the clone finds missing."""

Tell = Callable[[dict[str, Any]], None]
Cut = Callable[[Callable[[], None]], None]


def pull_and_push(
    job: CopyJob,
    folder: Path,
    source_folder: str,
    staging: Path,
    *,
    trees: tuple[str, str],
    options: dict[str, Any],
    tell: Tell,
    cut: Cut,
) -> dict[str, Any]:
    """Run both legs over one of the source's trees and its list; return how the last, or the first to fail, ended."""
    if not _FOLDER.fullmatch(source_folder) or ".." in source_folder:
        return {"code": 1, "stderr": "the source named a folder that is not ours", "sentBytes": 0}
    source_tree, names = trees
    tree = staging / source_tree
    if source_tree != _WHOLE:
        shutil.rmtree(tree, ignore_errors=True)  # what it held was for another look
    tree.mkdir(mode=0o700, exist_ok=True)
    write_clone_config(str(folder), clone_at(job, job.clone.address, job.clone.port))
    pulling = rsync_command(str(folder), options | {"refresh": ""}, config="source_config")
    pulling.append(f"--rsync-path=env -i PATH={PATH} HOME=/nonexistent LC_ALL=C rsync")
    pull_environment = {**os.environ, "HOME": str(folder)}
    pushing = rsync_command(str(folder), options)
    listed = ["--files-from", str(folder / "list"), "--from0"]
    legs = [
        ([*pulling, f"{SOURCE}:{source_folder}/{names}", str(folder / "list")], pull_environment),
        ([*pulling, *listed, f"{SOURCE}:{source_folder}/{source_tree}/", f"{tree}/"], pull_environment),
        ([*pushing, *listed, f"{tree}/", f"{CLONE}:."], {**agent_environment(folder), "HOME": str(folder)}),
    ]
    ended: dict[str, Any] = {}
    for leg, (command, environment) in enumerate(legs):
        ended = run_rsync(command, _told_as(leg, len(legs), tell), cut, environment)
        if ended["code"] not in _THROUGH:
            break
    return ended


def _told_as(leg: int, legs: int, tell: Tell) -> Tell:
    """Return what tells progress as a share of all legs; the list is the first and counts for nothing."""
    if not leg:
        return lambda _: None
    return lambda answer: tell(answer | {"leg": leg - 1, "legs": legs - 1})
