"""What runs on a source ends when the relay goes away, also when it is stuck where no signal reaches it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

WORK = """
import os, sys, time
from vmclone_operator.homecopy.source.guard import PLACE, Guard
lock = os.open(sys.argv[1], os.O_RDONLY)
guard = Guard(sys.argv[1], float(sys.argv[2]), not_for_guard=lock, grace_seconds=0.3)
guard.say_when_stuck(b'{"stuck": "' + PLACE.encode() + b'"}\\n')
guard.at(b'a "name"\\xe9')
print(os.getpid(), flush=True)
"""
STUCK = "import re; re.match(r'(?:(?:a|a)+)+b', 'a' * 64)"
"""Holds the interpreter: no thread of it runs any more."""
SLEEPS = "time.sleep(600)"


def begun(folder: Path, work: str, silence_seconds: float) -> tuple[subprocess.Popen[bytes], int]:
    command = [sys.executable, "-c", WORK + work, str(folder), str(silence_seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout
    return process, int(process.stdout.readline())


def test_a_stuck_scan_is_ended_and_its_place_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "private"
    folder.mkdir()
    process, _ = begun(folder, STUCK, 1.0)
    told, _ = process.communicate(timeout=60)
    assert json.loads(told) == {"stuck": 'a "name"\\xe9'}
    assert not folder.exists()


@pytest.mark.parametrize("work", [STUCK, SLEEPS], ids=["stuck in an expression", "waiting"])
def test_a_relay_that_goes_leaves_no_process_behind(tmp_path: Path, work: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    folder = tmp_path / "private"
    folder.mkdir()
    process, _ = begun(folder, work, 600.0)
    assert process.stdout
    process.stdout.close()
    process.wait(timeout=60)
    deadline = time.monotonic() + 30
    while folder.exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_work_that_ends_ends_its_guard(tmp_path: Path) -> None:
    process, _ = begun(tmp_path, "", 600.0)
    process.communicate(timeout=20)
    assert tmp_path.exists()
