"""The lab ends only what it started, and reads back what it wrote."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from vmclone_lab import processes, record
from vmclone_lab.errors import LabError
from vmclone_lab.layout import Layout
from vmclone_lab.progress import wait_for


def test_a_record_survives_the_disk(tmp_path: Path) -> None:
    written = record.Record(
        boot_id="b",
        processes={"etcd": record.ProcessRecord(7, 99, ("etcd", "--name=lab"))},
        created_directories=["/run/libvirt"],
        sysctls={"kernel/panic": "0"},
        components=["node"],
        kvm=True,
    )
    record.save(tmp_path / "lab.json", written)
    assert record.load(tmp_path / "lab.json") == written


def test_no_file_is_an_empty_record(tmp_path: Path) -> None:
    assert record.load(tmp_path / "lab.json") == record.Record()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "processes": 1}'])
def test_a_damaged_record_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(LabError, match="state file"):
        record.Record.from_json(text)


def test_a_later_process_with_the_same_pid_is_not_ours() -> None:
    ticks = processes.start_ticks(os.getpid())
    assert ticks is not None
    assert processes.is_alive(record.ProcessRecord(os.getpid(), ticks))
    assert not processes.is_alive(record.ProcessRecord(os.getpid(), ticks + 1))


def test_a_command_name_with_brackets_does_not_shift_the_fields() -> None:
    assert processes.stat_fields("12 (a) b) (c) S 1 2")[:2] == ["S", "1"]


def test_an_ended_but_uncollected_process_counts_as_gone() -> None:
    child = subprocess.Popen(["true"])
    wait_for("the child", lambda: processes.start_ticks(child.pid) is None, 5)
    assert child.wait() == 0


def test_end_kills_what_ignores_the_polite_signal(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    script = f"trap '' TERM; touch {ready}; while :; do sleep 0.1; done"
    ours = processes.spawn(["sh", "-c", script], tmp_path / "log")
    wait_for("the shell", ready.exists, 5)
    processes.end([ours], term_seconds=0.2)
    assert not processes.is_alive(ours)


def test_a_plain_file_in_place_of_the_namespace_owns_no_process(tmp_path: Path) -> None:
    (tmp_path / "vmclone-lab").touch()
    assert processes.pids_in_netns(tmp_path / "vmclone-lab") == []
    assert processes.pids_in_netns(tmp_path / "missing") == []


def test_waiting_ends_at_once_when_the_process_is_gone(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("one\ntwo\n")
    start = time.monotonic()
    with pytest.raises(LabError, match=r"its process ended(.|\n)*two"):
        wait_for("the daemon", lambda: None, 60, log=log, alive=lambda: False)
    assert time.monotonic() - start < 1


def test_another_name_is_another_lab() -> None:
    ours, theirs = Layout.from_environment({}), Layout.from_environment({"VMCLONE_LAB_NAME": "two"})
    for fact in ("state", "netns_file", "lock_file"):
        assert getattr(ours, fact) != getattr(theirs, fact)


@pytest.mark.parametrize(
    ("environment", "cache"),
    [
        ({"HOME": "/h"}, "/h/.cache/vmclone"),
        ({"HOME": "/h", "XDG_CACHE_HOME": "/x"}, "/x/vmclone"),
        ({"HOME": "/h", "XDG_CACHE_HOME": "/x", "VMCLONE_CACHE": "/v"}, "/v"),
    ],
)
def test_the_cache_follows_the_environment(environment: dict[str, str], cache: str) -> None:
    assert Layout.from_environment(environment).cache == Path(cache)
