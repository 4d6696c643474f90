"""Frees rsync from a pipe that stands where a file was listed: opening one waits for its other end for ever.

rsync's own timeout does not fire there. Who opens the other end for a moment and closes it lets it go on with a file
that is empty, which the clone finds to be another than was judged.
"""

# Runs on the source, on Python 3.6: no newer typing, and byte paths, which pathlib cannot hold.
# ruff: noqa: UP006, UP035, PTH116, PTH118, PTH123, PTH208

import os
import signal
import stat
import threading
from typing import List

from vmclone_operator.homecopy.source.folders import Folders

_LOOK_SECONDS = 2.0
_WAITS_FOR_OTHER_END = ("wait_for_partner", "fifo_open")
"""Where the kernel says that a process sleeps; 0 where it does not tell."""
_NOT_TOLD = "0"


class PipeWatch:
    """Looks every few seconds whether an rsync of this user waits in vain; costs next to nothing when none does."""

    def __init__(self, home: bytes, names: str) -> None:
        self._home, self._names = home, names
        self._over = threading.Event()

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._watch, daemon=True).start()

    def end(self) -> None:
        """Look no more."""
        self._over.set()

    def _watch(self) -> None:
        waited = 0
        while not self._over.wait(_LOOK_SECONDS):
            asleep = _where_rsyncs_sleep()
            if any(where in _WAITS_FOR_OTHER_END for where in asleep):
                self._free()
            elif _NOT_TOLD in asleep:
                waited += 1
                # Every rsync sleeps most of the time: look seldom, and less and less often.
                if waited & (waited - 1) == 0 and waited > 2:  # noqa: PLR2004  - 4, 8, 16 looks
                    self._free()

    def _free(self) -> None:
        """Open and close the writing end of each listed pipe that somebody waits at."""
        folders = Folders(self._home)
        try:
            with open(self._names, "rb") as file:
                paths = file.read().split(b"\0")[:-1]
            held = [path for path in paths if not _let_go(folders, path[2:])]
            if held:
                _end_our_rsync()
        finally:
            folders.close()


def _let_go(folders: Folders, path: bytes) -> bool:
    """Return whether nobody waits at this path any more; a pipe that the user may not write to holds its reader."""
    try:
        if stat.S_ISFIFO(folders.look(path).st_mode):
            folder, _, name = path.rpartition(b"/")
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW
            os.close(os.open(name, flags, dir_fd=folders.folder(folder)))
    except PermissionError:
        return False
    except OSError:
        return True  # nobody waits there, or it is gone
    return True


def _end_our_rsync() -> None:
    """End the rsync that we started: the copy is tried again, and its scan will find a pipe."""
    for number in os.listdir("/proc"):
        if number.isdigit():
            try:
                parent = int(_read(number, "stat").rpartition(")")[2].split()[1])
                if parent == os.getpid() and _read(number, "comm").strip() == "rsync":
                    os.kill(int(number), signal.SIGTERM)
            except OSError:
                continue


def _where_rsyncs_sleep() -> List[str]:
    found = []
    for number in os.listdir("/proc"):
        if number.isdigit():
            try:
                if os.stat("/proc/" + number).st_uid == os.getuid() and _read(number, "comm").strip() == "rsync":
                    found.append(_read(number, "wchan").strip())
            except OSError:
                continue
    return found


def _read(number: str, name: str) -> str:
    with open(os.path.join("/proc", number, name)) as file:
        return file.read()
