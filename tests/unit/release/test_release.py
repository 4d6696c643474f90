"""The files of a release depend on what is checked in alone, and a release that contradicts itself is refused."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from vmclone_release.archive import chart_archive, folder_archive
from vmclone_release.documents import ReleaseError, bill_of_materials, checksums, notes, one_version

LOCK = f"""\
aiohttp==3.14.0 \\
    --hash=sha256:{"a" * 64} \\
    --hash=sha256:{"b" * 64}
Some_Thing==1.0 ; sys_platform == 'linux' \\
    --hash=sha256:{"c" * 64}
"""
CHANGELOG = """# Changelog

## [Unreleased]

### Added

- New.

## [0.1.0] - 2026-01-01

- First.

## [0.0.1]
"""


def chart(folder: Path, *, moment: int) -> Path:
    (folder / "x" / "templates").mkdir(parents=True)
    for name in ("templates/b.yaml", "Chart.yaml", "notes.swp"):
        path = folder / "x" / name
        path.write_text(name)
        os.utime(path, (moment, moment))
    return folder / "x"


def test_a_chart_made_at_another_time_in_another_place_is_the_same(tmp_path: Path) -> None:
    one, other = chart(tmp_path / "1", moment=1000), chart(tmp_path / "2", moment=2000)
    (other / "Chart.yaml").chmod(0o600)
    assert chart_archive(one, moment=7) == chart_archive(other, moment=7)


def test_a_chart_is_below_its_name_and_leaves_out_what_helm_does(tmp_path: Path) -> None:
    packed = chart_archive(chart(tmp_path, moment=1), moment=7, left_out=lambda name: name.endswith(".swp"))
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(packed))) as tar:
        assert tar.getnames() == ["x/Chart.yaml", "x/templates/b.yaml"]
        assert {(entry.mtime, entry.mode, entry.uid, entry.uname) for entry in tar} == {(7, 0o644, 0, "")}


def test_an_image_layout_made_at_another_time_in_another_place_is_the_same_archive(tmp_path: Path) -> None:
    archives = []
    for name, moment in (("1", 1000), ("2", 2000)):
        archive = tmp_path / f"{name}.tar"
        folder_archive(chart(tmp_path / name, moment=moment), archive, moment=7)
        archives.append(archive.read_bytes())
    assert archives[0] == archives[1]
    with tarfile.open(tmp_path / "1.tar") as tar:
        assert tar.getnames() == ["Chart.yaml", "notes.swp", "templates/b.yaml"]


def test_the_bill_of_materials_names_each_package_with_its_version_and_hashes() -> None:
    document = json.loads(bill_of_materials(LOCK, name="vmclone-operator", version="0.1.0", moment=0))
    assert document["metadata"]["timestamp"] == "1970-01-01T00:00:00Z"
    assert [component["purl"] for component in document["components"]] == [
        "pkg:pypi/aiohttp@3.14.0",
        "pkg:pypi/some-thing@1.0",
    ]
    assert [p["value"][0] for component in document["components"] for p in component["properties"]] == ["a", "b", "c"]


def test_a_lock_that_pins_nothing_makes_no_bill_of_materials() -> None:
    with pytest.raises(ReleaseError, match="run hack/lock"):
        bill_of_materials("# empty\n", name="x", version="1", moment=0)


def test_the_notes_are_those_of_the_version_or_of_what_is_unreleased() -> None:
    assert notes(CHANGELOG, "0.1.0") == "# vmclone 0.1.0\n\n- First.\n"
    assert notes(CHANGELOG, "0.2.0") == "# vmclone 0.2.0\n\n### Added\n\n- New.\n"
    with pytest.raises(ReleaseError, match="add a section"):
        notes("# Changelog\n", "0.2.0")


def test_checksums_are_read_by_sha256sum() -> None:
    digest = hashlib.sha256(b"x").hexdigest()
    assert checksums({"b": digest, "a": digest}) == f"{digest}  a\n{digest}  b\n"


def test_a_release_has_one_version() -> None:
    assert one_version({"pyproject.toml": "1.0.0", "the tag v1.0.0": "1.0.0"}) == "1.0.0"
    with pytest.raises(ReleaseError, match=r"Chart.yaml says 1.0.1, the tag v1.0.0 says 1.0.0"):
        one_version({"Chart.yaml": "1.0.1", "the tag v1.0.0": "1.0.0"})
