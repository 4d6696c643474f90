"""The registry loads only what is asked for, and what is missing is said with the command that helps."""

from __future__ import annotations

import sys

import pytest

from vmclone_operator.domain.errors import CapabilityMissing
from vmclone_operator.providers.fake import FakeBackend
from vmclone_operator.providers.registry import load

OWN_MODULE = "vmclone_operator.providers.libvirt"


def without(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """Make a package look as if it was not installed, and our libvirt modules as if never imported."""
    for name in list(sys.modules):
        if name == OWN_MODULE or name.startswith(f"{OWN_MODULE}."):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)


def test_the_fake_backend_is_loaded_when_it_is_allowed() -> None:
    assert isinstance(load("fake", allow_fake=True), FakeBackend)


def test_the_fake_backend_is_refused_with_the_flag_that_allows_it() -> None:
    with pytest.raises(CapabilityMissing, match="--allow-fake"):
        load("fake", allow_fake=False)


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(CapabilityMissing, match=r"'vmware'.*fake, libvirt"):
        load("vmware", allow_fake=True)


def test_a_missing_sdk_is_refused_with_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "libvirt")
    with pytest.raises(CapabilityMissing, match=r"pip install vmclone-operator\[libvirt\]"):
        load("libvirt", allow_fake=False)


def test_a_missing_module_of_our_own_stays_a_loud_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, OWN_MODULE)
    with pytest.raises(ModuleNotFoundError, match=OWN_MODULE):
        load("libvirt", allow_fake=False)
