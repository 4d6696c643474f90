"""What a copy cannot do it says in a sentence that names the place and what to do."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace

import pytest
from tests.integration.homecopy.copying import Copying
from tests.integration.homecopy.homes import write
from tests.integration.homecopy.hosts import run

from vmclone_operator.homecopy.job import Transfer

pytestmark = pytest.mark.integration

MIB = 1024 * 1024


@pytest.mark.parametrize("transfer", list(Transfer))
def test_a_full_disk_of_the_clone_is_named(copying: Copying, transfer: Transfer) -> None:
    for number in range(8):
        write(copying.source.home / f"file{number}", os.urandom(MIB))
    copying.source.own()
    copying.job = replace(copying.job, transfer=transfer)
    home = str(copying.clone.home)
    run("mount", "-t", "tmpfs", "-o", "size=4m,mode=750", "tmpfs", home)
    try:
        copying.clone.own()
        result = copying.run()
    finally:
        run("umount", home)
    assert result.reason == "CopyFailed"
    assert "the clone's disk is full" in result.receipt["message"]
    assert str(8 * MIB) in result.receipt["message"]
    assert "larger disk" in result.receipt["message"]


@pytest.mark.parametrize("where", ["source", "clone"])
def test_a_bashrc_that_ends_the_shell_is_named(copying: Copying, where: str) -> None:
    write(copying.source.home / "a", "a")
    write(getattr(copying, where).home / ".bashrc", "exit 0\n")
    for host in (copying.source, copying.clone):
        host.own()
    result = copying.run()
    assert result.reason == "CopyFailed"
    assert f"~/.bashrc of the {where}" in result.receipt["message"].replace("and ~/.bash_logout ", "")


def test_folders_too_deep_for_rsync_are_named_and_the_rest_arrives(copying: Copying) -> None:
    home = copying.source.home
    write(home / "file", "x")
    here = os.open(home, os.O_RDONLY)
    for _ in range(1100):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    copying.source.own()
    result = copying.run()
    for host in (copying.source, copying.clone):
        subprocess.run(["rm", "-rf", host.home / "d"], check=True)  # deeper than pytest can remove
    assert (result.reason, result.receipt["skipped"]) == ("Copied", {"TooDeep": 100}), result.receipt["message"]
    assert "100 nested deeper than rsync goes: move them up, or pack them (first: d/d/" in result.receipt["message"]
    assert (copying.clone.home / "file").exists()


def test_a_folder_that_may_not_be_read_is_named_and_the_rest_arrives(copying: Copying) -> None:
    home = copying.source.home
    write(home / "work/closed/inside", "x")
    write(home / "work/open/inside", "x")
    copying.source.own()
    (home / "work/closed").chmod(0)
    result = copying.run()
    assert (result.reason, result.receipt["unreadable"]) == ("Copied", 1), result.receipt["message"]
    assert "work/closed" in result.receipt["message"]
    assert (copying.clone.home / "work/open/inside").exists()


def test_a_sparse_file_costs_little_on_the_wire(copying: Copying) -> None:
    with (copying.source.home / "disk.img").open("wb") as file:
        file.truncate(512 * MIB)
        file.seek(100 * MIB)
        file.write(os.urandom(4096))
    copying.source.own()
    result = copying.run()
    arrived = (copying.clone.home / "disk.img").stat()
    assert result.reason == "Copied", result.receipt["message"]
    assert result.receipt["sentBytes"] < MIB
    assert (arrived.st_size, arrived.st_blocks * 512 < MIB) == (512 * MIB, True)
