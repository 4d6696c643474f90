"""Our own operator process: always of one identity, so that after a SIGKILL the next one has the Lease at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.e2e.cluster import log_path, wait_until
from tests.e2e.machines import ROOT

from vmclone_demo.release import NAMESPACE

_STOP_SECONDS = 30


def home_copy_image() -> str:
    """Return the name of this checkout's image for home copies; the lab's node has it then."""
    build = [str(ROOT / "hack" / "images" / "build"), "--load", "home-copy"]
    return subprocess.run(build, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


class Operator:
    """One operator after another, all with the same name in the Lease."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._process: subprocess.Popen[bytes] | None = None
        self._image = home_copy_image()
        self.kills = 0

    def start(self) -> None:
        arguments = ["--namespace", NAMESPACE, "--identity", "e2e", "--allow-fake", "--resync-seconds", "60"]
        arguments += ["--home-copy-image", self._image]
        with log_path().open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "vmclone_operator.main", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def start_and_lead(self, seconds: float = 60) -> None:
        """Start, and wait until it holds the Lease."""
        seen = _log_size(log_path())
        self.start()
        wait_until("the operator leads", lambda: '"leading"' in _log_since(seen), seconds, pause=0.2)

    def kill(self) -> None:
        """End it without a word."""
        assert self._process is not None
        assert self._process.poll() is None, "the operator had ended by itself"
        self._process.kill()
        self._process.wait(timeout=_STOP_SECONDS)
        self.kills += 1

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Ask it to end, and give the Lease back."""
        if self._process is not None and self.is_running():
            self._process.terminate()
            self._process.wait(timeout=_STOP_SECONDS)


def _log_size(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


def _log_since(position: int) -> str:
    with log_path().open("rb") as file:
        file.seek(position)
        return file.read().decode(errors="replace")
