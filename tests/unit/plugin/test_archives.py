"""What people download is the same whenever it is built."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import yaml

from vmclone_plugin import krew, zipapp


def folder(path: Path) -> Path:
    path.mkdir()
    (path / "__main__.py").write_text("print('it runs')\n", encoding="utf-8")
    (path / "bin").mkdir()
    (path / "bin" / "tool").write_text("#!/usr/bin/env python\n", encoding="utf-8")
    return path


def test_two_builds_of_the_program_have_the_same_bytes_and_it_runs(tmp_path: Path) -> None:
    first = folder(tmp_path / "first")
    second = folder(tmp_path / "second")
    os.utime(second / "__main__.py", (0, 10**9))
    zipapp.pack(first, tmp_path / "a")
    zipapp.pack(second, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    done = subprocess.run([sys.executable, str(tmp_path / "a")], capture_output=True, text=True, check=True)
    assert done.stdout == "it runs\n"


def test_the_built_program_runs_as_one_file(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    done = subprocess.run([root / "hack/plugin/build", "--into", tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [
        str(tmp_path / name) for name in ("kubectl-vmclone", "kubectl-vmclone.tar.gz", "vmclone.yaml")
    ]
    alone = {"PATH": os.environ["PATH"]}
    argv = [sys.executable, "-I", str(tmp_path / "kubectl-vmclone"), "--help"]
    shown = subprocess.run(argv, capture_output=True, text=True, check=True, env=alone)
    assert shown.stdout.startswith("Usage: kubectl vmclone")


def test_the_manifest_has_the_digest_of_the_archive(tmp_path: Path) -> None:
    program = tmp_path / "kubectl-vmclone"
    program.write_text("x", encoding="utf-8")
    digest = krew.archive(program, program, tmp_path / "one.tar.gz")
    assert digest == krew.archive(program, program, tmp_path / "two.tar.gz")
    manifest = yaml.safe_load(krew.manifest(version="0.1.0", url="https://example.invalid/a.tar.gz", digest=digest))
    assert manifest["spec"]["version"] == "v0.1.0"
    assert {platform["sha256"] for platform in manifest["spec"]["platforms"]} == {digest}
