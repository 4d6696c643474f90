"""The relay's own ssh: an agent with the one key of this copy, and configurations that no user's file can change.

Every value stands in a file of the private folder; argument lists name files and constants only.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from vmclone_operator.homecopy.bundle import REMOTE_COMMAND
from vmclone_operator.homecopy.job import CopyJob, Transfer
from vmclone_operator.homecopy.source.send import SSH_CONFIG, cheapest_ciphers

SOURCE = "vmclone-source"
_AGENT_SECONDS = 10.0
_ALIVE_SECONDS = 15.0
_PORT = re.compile(r"Allocated port (\d+) for remote forward")
_STDERR_KEPT = 8192


@dataclass(frozen=True, slots=True)
class Keys:
    """Where the two private keys are: the one for the source stays here, the clone's goes into the agent."""

    source: Path
    clone: Path


def write_source_config(folder: Path, job: CopyJob, key: Path) -> None:
    """Write the configuration and pinned host keys for the source; the forward is part of it."""
    private = folder / "source_key"
    shutil.copyfile(key, private)
    private.chmod(0o600)
    host = job.source
    place = {"address": host.address, "port": host.port, "user": host.user}
    base = SSH_CONFIG.format(alias=SOURCE, folder=folder, ciphers=cheapest_ciphers(), **place)
    dropped = (
        "IdentityFile",
        "ForwardAgent",
        "ClearAllForwardings",
        "ControlMaster",
        "ControlPath",
        "UserKnown",
        "LogLevel",
    )
    lines = [line for line in base.splitlines() if not line.startswith(dropped)]
    lines += [f"IdentityFile {private}", "IdentitiesOnly yes", "ExitOnForwardFailure yes"]
    lines += [
        f"UserKnownHostsFile {folder}/source_hosts",
        "LogLevel INFO",
        "RequestTTY no",
        f"ControlPath {folder}/mux",
    ]
    if job.transfer is Transfer.STREAM:
        clone = f"[{job.clone.address}]:{job.clone.port}"
        lines += [f"ForwardAgent {folder}/agent", f"RemoteForward 127.0.0.1:0 {clone}"]
    else:
        lines += ["ControlMaster auto"]
    (folder / "source_config").write_text("\n".join([*lines, ""]))
    (folder / "source_hosts").write_text("".join(f"{SOURCE} {key}\n" for key in host.host_keys))


def start_agent(folder: Path, key: Path, *, lifetime_seconds: int) -> subprocess.Popen[bytes]:
    """Start an agent of our own that holds the clone's key for as long as the copy may last."""
    socket, private = folder / "agent", folder / "clone_key"
    shutil.copyfile(key, private)
    private.chmod(0o600)
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + _AGENT_SECONDS
    while not socket.exists() and time.monotonic() < deadline and agent.poll() is None:
        time.sleep(0.02)
    command = ["ssh-add", "-q", "-t", str(lifetime_seconds), str(private)]
    subprocess.run(command, env=agent_environment(folder), check=True, stderr=subprocess.PIPE, timeout=_AGENT_SECONDS)
    private.unlink()
    return agent


def agent_environment(folder: Path) -> dict[str, str]:
    """Return the environment in which ssh finds our agent."""
    return {**os.environ, "SSH_AUTH_SOCK": str(folder / "agent")}


def agent_key(folder: Path) -> str:
    """Return the public half of the agent's one key, in base64: by it the source knows our agent from others."""
    command = ["ssh-add", "-L"]
    listed = subprocess.run(command, env=agent_environment(folder), check=True, capture_output=True, timeout=10)
    return listed.stdout.decode().split()[1]


class SourceConnection:
    """The one connection to the source: our program at its far end, documents in, bytes of answers out."""

    def __init__(self, folder: Path, program: bytes) -> None:
        command = ["ssh", "-F", str(folder / "source_config"), SOURCE, REMOTE_COMMAND]
        pipe = subprocess.PIPE
        # ssh forwards no agent unless one is its own, whatever ForwardAgent names.
        environment = agent_environment(folder)
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment)
        self._complaints: list[str] = []
        self._port_known = threading.Event()
        self.forwarded_port = 0
        """The port on the source's loopback that leads to the clone."""
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self._writing = threading.Lock()
        self._closed = threading.Event()
        self._write(program)
        threading.Thread(target=self._say_alive, daemon=True).start()

    @property
    def answers(self) -> IO[bytes]:
        """What the far end says."""
        assert self._process.stdout is not None  # noqa: S101  - a pipe was asked for
        return self._process.stdout

    def tell(self, document: bytes) -> None:
        """Send one line; a far end that is gone shows in `answers`."""
        self._write(document + b"\n")

    def wait_for_port(self, seconds: float) -> int:
        """Return the forwarded port, 0 if the source never gave one."""
        self._port_known.wait(seconds)
        return self.forwarded_port

    def end(self) -> None:
        """Hang up, from any thread."""
        self._process.terminate()

    def close(self) -> tuple[int, str]:
        """End the input and return ssh's exit code and complaints."""
        self._closed.set()
        try:
            with self._writing:
                if self._process.stdin:
                    self._process.stdin.close()
        except BrokenPipeError:
            pass  # the far end is gone already; its exit code says how
        try:
            code = self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._listener.join(10)
        return code, "".join(self._complaints)[-_STDERR_KEPT:]

    def _write(self, data: bytes) -> None:
        try:
            with self._writing:
                if self._process.stdin and not self._process.stdin.closed:
                    self._process.stdin.write(data)
                    self._process.stdin.flush()
        except BrokenPipeError:
            pass  # shows as the end of `answers`

    def _say_alive(self) -> None:
        """Tell the far end every few seconds that we are there: it may never learn that a connection was cut."""
        while not self._closed.wait(_ALIVE_SECONDS):
            self._write(b'{"action": "alive"}\n')

    def _listen(self) -> None:
        assert self._process.stderr is not None  # noqa: S101  - a pipe was asked for
        for line in self._process.stderr:
            text = line.decode("utf-8", "replace")
            port = _PORT.search(text)
            if port:
                self.forwarded_port = int(port[1])
                self._port_known.set()
            self._complaints.append(text)
            del self._complaints[:-200]


def clone_at(job: CopyJob, address: str, port: int) -> dict[str, Any]:
    """Return the clone's document as it is reached from one place, with its own pinned keys."""
    return job.clone.document() | {"address": address, "port": port}
