"""A golden image has a name that virsh, a manifest and a file system all take."""

import pytest

from vmclone_lab import images
from vmclone_lab.cli import build_parser
from vmclone_lab.errors import LabError


@pytest.mark.parametrize("name", ["golden", "golden.qcow2"])
def test_an_image_is_a_volume_of_its_name(name: str) -> None:
    assert images.volume_name(name) == "golden.qcow2"


@pytest.mark.parametrize("name", ["", "../up", "a/b", "-x", "Golden"])
def test_a_name_that_is_no_plain_file_name_is_refused(name: str) -> None:
    with pytest.raises(LabError, match="image name"):
        images.volume_name(name)


def test_an_image_is_slim_unless_asked_otherwise() -> None:
    assert build_parser().parse_args(["image", "golden"]).profile == "slim"
    assert build_parser().parse_args(["image", "golden", "--profile", "stock"]).profile == "stock"
