"""One copy between two hosts, started exactly as the pod starts it: a process with files for arguments."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.homecopy.hosts import SshHost

from vmclone_operator.homecopy.job import CopyJob

LONGEST_SECONDS = 180


@dataclass(frozen=True)
class Result:
    code: int
    receipt: dict[str, Any]
    progress: list[dict[str, Any]]
    stderr: str

    @property
    def reason(self) -> str:
        return str(self.receipt["reason"])


@dataclass
class Copying:
    source: SshHost
    clone: SshHost
    job: CopyJob
    folder: Path

    @property
    def private(self) -> Path:
        """Where the relay works: a short path, since control sockets may have 108 letters."""
        return self.source.folder.parent

    def start(self) -> subprocess.Popen[str]:
        document, staging = self.folder / "job.json", self.folder / "staging"
        document.write_text(json.dumps(self.job.document()))
        staging.mkdir(exist_ok=True)
        files = [str(self.folder / name) for name in ("job.json", "source_key", "clone_key", "termination")]
        command = [sys.executable, "-m", "vmclone_operator.homecopy.relay", *files]
        environment = {**os.environ, "VMCLONE_STAGING": str(staging), "TMPDIR": str(self.private)}
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment, start_new_session=True)

    def kill(self, process: subprocess.Popen[str]) -> None:
        """Kill it as a kubelet kills a pod: every process at once."""
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        for folder in self.private.glob("vmclone-relay-*"):
            shutil.rmtree(folder)  # in a pod it is gone with the pod

    def finish(self, process: subprocess.Popen[str]) -> Result:
        stdout, stderr = process.communicate(timeout=LONGEST_SECONDS)
        progress = [json.loads(line) for line in stdout.splitlines()]
        termination = self.folder / "termination"
        receipt = json.loads(termination.read_text()) if termination.exists() else {"reason": stderr}
        return Result(process.returncode, receipt, progress, stderr)

    def run_while(self, meanwhile: Callable[[], None]) -> Result:
        """Run it; when the home was scanned and nothing is sent yet, `meanwhile` happens."""
        (self.folder / "termination").unlink(missing_ok=True)
        relay = self.start()
        assert relay.stdout
        while json.loads(relay.stdout.readline())["phase"] != "Scanned":
            pass
        meanwhile()
        return self.finish(relay)

    def run(self) -> Result:
        (self.folder / "termination").unlink(missing_ok=True)
        return self.finish(self.start())
