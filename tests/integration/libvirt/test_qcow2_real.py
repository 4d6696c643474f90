"""qcow2 read by its tables, checked against qemu-img, which is not ours; images are small and made in memory."""

from __future__ import annotations

import secrets
import subprocess
from pathlib import Path

import pytest

from vmclone_operator.providers.libvirt import qcow2

pytestmark = pytest.mark.libvirt
KIB = 1 << 10
OPTIONS = {
    "plain": [],
    "compressed": ["-c"],
    "old": ["-o", "compat=0.10"],
    "small clusters": ["-o", "cluster_size=512"],
    "large clusters, compressed": ["-c", "-o", "cluster_size=2M"],
    "subclusters": ["-o", "extended_l2=on"],
}


def converted(folder: Path, content: bytes, *options: str) -> Path:
    raw, made = folder / "raw", folder / "made.qcow2"
    raw.write_bytes(content)
    command = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", *options, str(raw), str(made)]
    subprocess.run(command, check=True, capture_output=True)
    return made


def reader(path: Path) -> qcow2.Read:
    content = path.read_bytes()
    return lambda offset, length: content[offset : offset + length]


def content() -> bytes:
    """Return 3 MiB: text, a hole, noise, text that ends amid a cluster."""
    return b"text " * 100_000 + bytes(1 << 20) + secrets.token_bytes(300 * KIB) + b"end" * 400_000


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_a_guest_reads_the_same_everywhere(options: list[str], tmp_path: Path) -> None:
    expected = content()
    read = reader(converted(tmp_path, expected, *options))
    image = qcow2.layout(read(0, qcow2.HEAD_BYTES))
    assert image is not None
    for offset, length in ((0, 2048), (32768, 2048), (len(expected) - 100, 100), (499_990, 70_000)):
        assert qcow2.guest_bytes(image, read, offset, length) == expected[offset : offset + length]


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_what_is_used_bounds_what_a_copy_takes(options: list[str], tmp_path: Path) -> None:
    made = converted(tmp_path, content(), *options)
    read = reader(made)
    image = qcow2.layout(read(0, qcow2.HEAD_BYTES))
    assert image is not None
    used = qcow2.used_bytes(image, read)
    (tmp_path / "copies").mkdir()
    flat = tmp_path / "copies" / "flat.qcow2"
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", str(made), str(flat)], check=True, capture_output=True)
    assert used is not None
    assert flat.stat().st_size - 6 * 64 * KIB <= used <= image.capacity, "all but the copy's own tables"


@pytest.mark.parametrize(
    "options",
    [
        ["-o", "encrypt.format=luks,encrypt.key-secret=s", "--object", "secret,id=s,data=x"],
        ["-o", "data_file={folder}/d"],
    ],
    ids=["encrypted", "data in another file"],
)
def test_what_is_not_known_gets_no_answer(options: list[str], tmp_path: Path) -> None:
    made = converted(tmp_path, b"x" * KIB, *(option.format(folder=tmp_path) for option in options))
    assert qcow2.layout(made.read_bytes()[: qcow2.HEAD_BYTES]) is None


def test_another_compression_is_counted_but_not_read(tmp_path: Path) -> None:
    read = reader(converted(tmp_path, content(), "-c", "-o", "compression_type=zstd"))
    image = qcow2.layout(read(0, qcow2.HEAD_BYTES))
    assert image is not None
    assert qcow2.guest_bytes(image, read, 0, 512) is None
    assert qcow2.used_bytes(image, read)


@pytest.mark.parametrize("cut", [0, 4, 60, 100, 70_000, 200_000])
def test_an_image_that_is_cut_off_raises_nothing(cut: int, tmp_path: Path) -> None:
    whole = converted(tmp_path, content()).read_bytes()[:cut]
    image = qcow2.layout(whole)
    if image is not None:
        assert len(qcow2.guest_bytes(image, lambda at, size: whole[at : at + size], 0, 512) or bytes(512)) == 512
        qcow2.used_bytes(image, lambda at, size: whole[at : at + size])


def test_a_table_that_would_fill_the_memory_is_not_read() -> None:
    image = qcow2.Layout(capacity=1 << 50, cluster_bits=16, first_table=65536, first_entries=1 << 30)
    assert qcow2.used_bytes(image, lambda _at, _size: pytest.fail("nothing is to be read")) is None
