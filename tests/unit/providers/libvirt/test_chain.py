"""What is believed of a qcow2 image's header, which the host wrote; nothing else of an image is read."""

from __future__ import annotations

import struct

import pytest

from vmclone_operator.providers.libvirt.chain import Header, parse_header

END = struct.pack(">II", 0, 0)
BACKING = b"/pool/base image.raw"
OVERLAY = Header(backing=BACKING.decode(), backing_format="raw")
NEW = 3


def _extension(kind: int, data: bytes) -> bytes:
    return struct.pack(">II", kind, len(data)) + data.ljust((len(data) + 7) // 8 * 8, b"\0")


def _image(*extensions: bytes, version: int = NEW, backing: bytes = b"", crypt: int = 0, features: int = 0) -> bytes:
    length = 104 if version == NEW else 72
    tail = b"".join((*extensions, END))
    offset = length + len(tail) if backing else 0
    head = struct.pack(">4sIQIIQI36x", b"QFI\xfb", version, offset, len(backing), 16, 1 << 30, crypt)
    if version == NEW:
        head += struct.pack(">QQQII", features, 0, 0, 4, length)
    return head + tail + backing


RAW = _extension(0xE2792ACA, b"raw")


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        pytest.param(_image(), Header(), id="an image that stands alone"),
        pytest.param(_image(RAW, backing=BACKING), OVERLAY, id="an overlay"),
        pytest.param(_image(RAW, version=2, backing=BACKING), OVERLAY, id="an old overlay"),
        pytest.param(_image(_extension(1, b"x" * 9), RAW, backing=BACKING), OVERLAY, id="another extension before"),
        pytest.param(_image(backing=BACKING), Header(backing=BACKING.decode()), id="no format on record"),
        pytest.param(_image(crypt=2), Header(encrypted=True), id="an encrypted image"),
        pytest.param(_image(features=4), Header(data_file=True), id="data in another file"),
        pytest.param(b"QFI\xfb\0\0", None, id="cut off"),
        pytest.param(_image(RAW)[:-12], None, id="cut off in an extension"),
        pytest.param(b"\0" * 4096, None, id="a raw image"),
    ],
)
def test_a_header_is_read_or_refused(image: bytes, expected: Header | None) -> None:
    assert parse_header(image) == expected
