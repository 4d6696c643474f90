"""A developer works on while the home is copied: branches are switched, a build goes on, a log rotates.

Each copy is Copied and loses nothing that was there throughout. `VMCLONE_BUSY_RUNS=30` runs it as often as the
published figure says.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.integration.homecopy.copying import Copying
from tests.integration.homecopy.homes import write
from tests.integration.homecopy.hosts import run

pytestmark = pytest.mark.integration

RUNS = int(os.environ.get("VMCLONE_BUSY_RUNS", "3"))
STILL = 1000
FILES, CHANGING = 300, 150
"""Of the repository; git takes those that change away for a moment, so that they are not there throughout."""
GIT = ("git", "-c", "safe.directory=*", "-c", "user.name=t", "-c", "user.email=t@example.com", "-C")
WORK = """
import os, shutil, subprocess, sys, time
git, number = sys.argv[1:], 0
def write(path, text):
    with open(path, "w") as file:
        file.write(text)
while True:
    number += 1
    subprocess.run([*git, "switch", "-q", ("main", "other")[number % 2]], check=True)
    shutil.rmtree("build", ignore_errors=True)
    os.mkdir("build")
    for part in range(200):
        write(f"build/part{part}.o.tmp", f"{number} {part}" * 50)
        os.rename(f"build/part{part}.o.tmp", f"build/part{part}.o")
        with open("log", "a") as log:
            log.write(f"built {part}\\n")
    if number % 3 == 0:
        os.rename("log", "log.1")
        write("log", "")
    time.sleep(0.02)
"""


def home_of_a_developer(home: Path) -> None:
    for number in range(STILL):
        write(home / f"still {number % 10}/file{number}", f"{number}\n" * (number % 200))
    tree = home / "project"
    for number in range(FILES):
        write(tree / f"src/module{number}.py", f"# {number}\n" * 20)
    write(home / "log", "")
    run(*GIT, str(home), "init", "-q", "-b", "main", "project")
    run(*GIT, str(tree), "add", "-A")
    run(*GIT, str(tree), "commit", "-qm", "first")
    run(*GIT, str(tree), "switch", "-qc", "other")
    for number in range(CHANGING):
        write(tree / f"src/module{number}.py", f"# {number} other\n" * 30)
        write(tree / f"other/only{number}.py", f"# {number}\n")
    run(*GIT, str(tree), "add", "-A")
    run(*GIT, str(tree), "commit", "-qm", "second")


@contextmanager
def somebody_working(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = ["/usr/bin/python3", "-c", WORK, *GIT, str(home / "project")]
    with subprocess.Popen(command, cwd=home, stdout=subprocess.DEVNULL, start_new_session=True) as worker:
        try:
            yield worker
        finally:
            assert worker.poll() is None  # it worked until the end
            os.killpg(worker.pid, signal.SIGKILL)  # its git, too


@pytest.mark.parametrize("number", range(RUNS))
def test_a_copy_beside_work_is_copied_and_loses_nothing_that_was_there_throughout(
    copying: Copying, number: int
) -> None:
    home, arrived = copying.source.home, copying.clone.home
    home_of_a_developer(home)
    copying.source.own()
    with somebody_working(home):
        result = copying.run()
    assert result.reason == "Copied", (number, result.receipt["message"])
    untouched = [home / f"project/src/module{number}.py" for number in range(CHANGING, FILES)]
    for path in [*home.glob("still */*"), *untouched]:
        assert (arrived / path.relative_to(home)).read_bytes() == path.read_bytes(), path
