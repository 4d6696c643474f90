"""What users set up for themselves on the source has no say in a copy, nor can it say that there was one."""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import replace

import pytest
from tests.integration.homecopy.copying import Copying
from tests.integration.homecopy.homes import picture, wait_for_bytes, write

pytestmark = pytest.mark.integration

LIES = [
    {
        "event": "scanned",
        "files": 2,
        "bytes": 2,
        "excluded": {},
        "sparse": False,
        "mostlyText": False,
        "folder": "/x",
    },
    {"event": "sent", "code": 0, "sentBytes": 2, "stderr": ""},
]
SETTINGS = {
    "another agent": "export SSH_AUTH_SOCK=$HOME/.1password/agent.sock",
    "rsync's variables": "export RSYNC_PROTECT_ARGS=1 RSYNC_ICONV=utf-8,latin1 RSYNC_MAX_ALLOC=1 RSYNC_RSH=false",
    "a welcome": "echo welcome; echo welcome >&2; printf 'no newline'",
    "our own words, without the secret": "; ".join(f"echo '@vmclone {json.dumps(lie)}'" for lie in LIES),
    "programs of the same name": "rsync() { false; }; export -f rsync; PATH=$HOME/bin:$PATH",
}
GREETINGS = {
    "a welcome": "echo welcome; echo welcome >&2; printf 'no newline'",
    "a welcome in bytes of rsync's": "printf '\\037\\000\\000\\000'",
}
NO_SHELLS = {
    "a message": "echo This account is for backups only.",
    "a menu": "echo 1 status; echo 2 quit; read choice; exit 1",
}
CHURN = """
import os, time
while True:
    for number in range(50):
        open(f"t{number}", "w").close()
    for number in range(50):
        os.unlink(f"t{number}")
    time.sleep(0.002)
"""


@pytest.mark.parametrize("bashrc", SETTINGS.values(), ids=SETTINGS.keys())
def test_a_bashrc_changes_nothing_of_a_copy(copying: Copying, bashrc: str) -> None:
    home = copying.source.home
    write(home / "work/a", "a")
    write(home / "bin/rsync", "#!/bin/sh\nexit 0\n")
    (home / "bin/rsync").chmod(0o755)
    write(home / ".bashrc", f"{bashrc}\n")
    copying.source.own()
    result = copying.run()
    assert result.reason == "Copied", result.receipt
    assert picture(copying.clone.home) == picture(home)


@pytest.mark.parametrize("greeting", GREETINGS.values(), ids=GREETINGS.keys())
def test_what_the_clone_prints_at_a_login_changes_nothing_of_a_copy(copying: Copying, greeting: str) -> None:
    """The clone has such a `.bashrc` from its image, or from an attempt before this one."""
    write(copying.source.home / "work/a", "a")
    write(copying.clone.home / ".bashrc", f"{greeting}\n")
    for host in (copying.source, copying.clone):
        host.own()
    result = copying.run()
    assert result.reason == "Copied", result.receipt
    assert (copying.clone.home / "work/a").read_text() == "a"


def test_a_forced_command_that_greets_and_runs_what_is_asked_changes_nothing_of_a_copy(copying: Copying) -> None:
    write(copying.source.home / "work/a", "a")
    copying.source.own()
    force(copying, 'echo welcome; echo "you are being watched" >&2; eval "$SSH_ORIGINAL_COMMAND"')
    result = copying.run()
    assert result.reason == "Copied", result.receipt
    assert picture(copying.clone.home) == picture(copying.source.home)


@pytest.mark.parametrize("command", NO_SHELLS.values(), ids=NO_SHELLS.keys())
def test_a_forced_command_that_runs_nothing_else_is_named(copying: Copying, command: str) -> None:
    write(copying.source.home / "work/a", "a")
    copying.source.own()
    force(copying, command)
    result = copying.run()
    assert (result.reason, not (copying.clone.home / "work/a").exists()) == ("CopyFailed", True), result.receipt
    assert "command= in authorized_keys" in result.receipt["message"], result.receipt["message"]


def force(copying: Copying, command: str) -> None:
    """Have the source's sshd run this instead of what is asked for, as a line of authorized_keys does."""
    keys = copying.source.folder / "authorized_keys"
    escaped = command.replace('"', '\\"')
    copying.source.authorize(f'command="{escaped}" {keys.read_text().strip()}')


def test_a_folder_that_is_written_to_all_the_while_arrives_whole(copying: Copying) -> None:
    """Temporary files come and go beside files that stay: none of these may be missing."""
    home = copying.source.home
    for number in range(3000):
        write(home / f"work/file{number}", f"{number}")
    for number in range(100):
        write(home / f"work/zz/file{number}", f"{number}")
    copying.source.own()
    with subprocess.Popen(["/usr/bin/python3", "-c", CHURN], cwd=home / "work") as busy:
        try:
            result = copying.run()
        finally:
            busy.kill()
    arrived = {str(path.relative_to(copying.clone.home)) for path in copying.clone.home.rglob("file*")}
    assert result.reason == "Copied", result.receipt["message"]
    assert {f"work/file{number}" for number in range(3000)} <= arrived, result.receipt
    assert {f"work/zz/file{number}" for number in range(100)} <= arrived, result.receipt


def test_a_relay_that_is_killed_leaves_no_process_behind(copying: Copying) -> None:
    write(copying.source.home / "big", os.urandom(4 * 1024 * 1024))
    copying.source.own()
    copying.job = replace(copying.job, bandwidth_kib=512)
    relay = copying.start()
    wait_for_bytes(copying.clone.home, 512 * 1024)
    copying.kill(relay)
    deadline = time.monotonic() + 30
    while left := [*copying.source.processes(), *copying.clone.processes()]:
        assert time.monotonic() < deadline, left
        time.sleep(0.2)
