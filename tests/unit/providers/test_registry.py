"""A backend is found by its kind; what is missing is named with the words that install it."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from vmclone_operator.domain.errors import CapabilityMissing
from vmclone_operator.providers import registry
from vmclone_operator.providers.fake import FakeBackend


def test_fake_is_given_only_to_an_operator_that_allows_it() -> None:
    assert isinstance(registry.load("fake", allow_fake=True), FakeBackend)
    with pytest.raises(CapabilityMissing, match="--allow-fake"):
        registry.load("fake", allow_fake=False)


def test_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(CapabilityMissing, match=r"'floppy'.*azure, fake, libvirt, proxmox"):
        registry.load("floppy", allow_fake=True)


def test_missing_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    package = "vmclone_operator.providers.libvirt"
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "libvirt", None)
    with pytest.raises(CapabilityMissing, match=r"pip install vmclone-operator\[libvirt\]"):
        registry.load("libvirt", allow_fake=False)


def test_bug_in_our_own_package_stays_loud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.KINDS, "libvirt", "vmclone_operator.providers.no_such:Backend")
    with pytest.raises(ModuleNotFoundError):
        registry.load("libvirt", allow_fake=False)


@pytest.mark.parametrize("kind", registry.KINDS)
def test_every_kind_points_at_a_package_that_exists(kind: str) -> None:
    assert importlib.util.find_spec(registry.KINDS[kind].partition(":")[0]) is not None
