"""A copy that is cut anywhere goes on where it was, and says all the while that it is there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.integration.homecopy.copying import Copying
from tests.integration.homecopy.costs import tell_figure
from tests.integration.homecopy.homes import picture, settled_bytes, wait_for_bytes, write

pytestmark = pytest.mark.integration

TOTAL = 20 * 1024 * 1024
FILES = 20
QUICKLY_KIB = 10 * 1024


def relay_killed(copying: Copying, relay: subprocess.Popen[str]) -> None:
    copying.kill(relay)


def source_gone(copying: Copying, relay: subprocess.Popen[str]) -> None:
    copying.source.kill()
    assert copying.finish(relay).reason == "Interrupted"
    copying.source.start()


def clone_gone(copying: Copying, relay: subprocess.Popen[str]) -> None:
    copying.clone.kill()
    assert copying.finish(relay).reason == "Interrupted"
    copying.clone.start()


@pytest.mark.parametrize("percent", [10, 50, 90])
@pytest.mark.parametrize("cut", [relay_killed, source_gone, clone_gone])
def test_cut_copy_finishes_and_sends_little_again(
    copying: Copying, cut: Callable[[Copying, subprocess.Popen[str]], None], percent: int
) -> None:
    for number in range(FILES):
        write(copying.source.home / f"file{number}", os.urandom(TOTAL // FILES))
    copying.source.own()
    copying.job = replace(copying.job, bandwidth_kib=QUICKLY_KIB)
    relay = copying.start()
    wait_for_bytes(copying.clone.home, TOTAL * percent // 100)
    cut(copying, relay)
    there = settled_bytes(copying.clone.home)
    copying.job = replace(copying.job, bandwidth_kib=0)
    again = copying.run()
    tell_figure(f"cut at {100 * there // TOTAL} %: {again.receipt['sentBytes'] - TOTAL + there} bytes sent again")
    assert again.reason == "Copied", again.receipt["message"]
    assert TOTAL * percent // 100 <= there < TOTAL
    assert again.receipt["sentBytes"] <= TOTAL - there + 0.05 * there
    assert picture(copying.clone.home) == picture(copying.source.home)


def test_stalled_copy_goes_on_saying_where_it_is(copying: Copying) -> None:
    write(copying.source.home / "big", os.urandom(8 * 1024 * 1024))
    copying.source.own()
    copying.job = replace(copying.job, bandwidth_kib=2 * 1024)
    relay = copying.start()
    wait_for_bytes(copying.clone.home, 1024 * 1024)
    copying.clone.end_processes(signal.SIGSTOP)
    assert relay.stdout
    told = [json.loads(relay.stdout.readline()) for _ in range(5)]
    copying.clone.end_processes(signal.SIGCONT)
    assert copying.finish(relay).reason == "Copied"
    assert [line["phase"] for line in told] == ["Scanning", "Scanned", *["Copying"] * 3]
    assert told[-1]["totalBytes"] == 8 * 1024 * 1024
    assert told[-1] == told[-2]
