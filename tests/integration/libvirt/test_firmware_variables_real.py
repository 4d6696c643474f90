"""UEFI sources on a real libvirtd: each clone has the source's firmware variables in a file of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import libvirt
import pytest
from tests.contract.libvirt_backend import LibvirtFacts
from tests.integration.libvirt import shapes
from tests.integration.libvirt.shapes import DiskSpec
from tests.integration.libvirt.steps import play

from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import BackendSession, Power, Stamp
from vmclone_operator.domain.errors import SourceUnhealthy
from vmclone_operator.providers.libvirt import domain_xml
from vmclone_operator.providers.libvirt.nvram import POOL_PREFIX

pytestmark = pytest.mark.libvirt
FOLDER = Path("/var/lib/libvirt/qemu/nvram")
"""Where libvirt puts variables unless told otherwise; it is in no pool."""
CODE, BLANK = "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"
TYPE = "<type arch='x86_64' machine='q35'>hvm</type>"
LOADER = f"<loader readonly='yes' type='pflash'>{CODE}</loader>"
MARK = b"what the source's firmware remembers"


def _chosen_by_libvirt(_facts: LibvirtFacts) -> str:
    return f"<os firmware='efi'>{TYPE}</os>"


def _a_loader(_facts: LibvirtFacts) -> str:
    return f"<os>{TYPE}{LOADER}</os>"


def _a_file_and_its_template(facts: LibvirtFacts) -> str:
    return f"<os>{TYPE}{LOADER}<nvram template='{BLANK}'>{facts.pool_path}/sub/my vars.fd</nvram></os>"


def _a_file_element(facts: LibvirtFacts) -> str:
    place = f"{facts.pool_path}/it&apos;s &amp;.fd"
    return f"<os firmware='efi'>{TYPE}<nvram type='file'><source file='{place}'/></nvram></os>"


def _uefi_source(facts: LibvirtFacts, os: str) -> tuple[LibvirtFacts, Path]:
    """Make a source that has run once, and put a mark into its variables."""
    (facts.pool_path / "sub").mkdir(exist_ok=True)
    (facts.pool_path / "sub").chmod(0o711)
    facts = shapes.define(facts, DiskSpec(path=shapes.image(facts, "src.qcow2", "A")), name="uefi 'é'", os=os)
    domain = shapes.domain_of(facts)
    domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
    path = Path(domain_xml.variables_path(domain_xml.parsed(domain.XMLDesc())))
    domain.destroy()
    content = bytearray(path.read_bytes())
    content[-len(MARK) :] = MARK
    path.write_bytes(content)
    return facts, path


def _clone_file(facts: LibvirtFacts, stamp: Stamp) -> Path:
    xml = shapes.clone_domain(facts, stamp).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    return Path(domain_xml.variables_path(domain_xml.parsed(xml)))


def _files() -> list[Path]:
    return sorted(FOLDER.iterdir())


def _blank() -> bytes:
    return Path(BLANK).read_bytes()


def _transient_pools(facts: LibvirtFacts) -> list[str]:
    return [pool.name() for pool in facts.connection.listAllStoragePools() if pool.name().startswith(POOL_PREFIX)]


@pytest.mark.parametrize(
    ("os", "power"),
    [
        pytest.param(_chosen_by_libvirt, Power.OFF, id="firmware chosen by libvirt"),
        pytest.param(_chosen_by_libvirt, Power.ON, id="firmware chosen by libvirt, running"),
        pytest.param(_a_loader, Power.OFF, id="a loader alone"),
        pytest.param(_a_file_and_its_template, Power.OFF, id="a file and its template"),
        pytest.param(_a_file_element, Power.OFF, id="a file element"),
        pytest.param(_a_file_element, Power.ON, id="a file element, running"),
    ],
)
def test_a_clone_gets_a_copy_of_the_sources_variables(os: Callable[[LibvirtFacts], str], power: Power) -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        facts, theirs = _uefi_source(facts, os(facts))
        if power is Power.ON:
            shapes.domain_of(facts).createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
        before = (theirs.read_bytes(), facts.volume_names(), _files())
        stamp = await shapes.cloned(session, facts)
        own = _clone_file(facts, stamp)
        assert own != theirs
        assert own.read_bytes() == theirs.read_bytes()
        assert own.read_bytes().endswith(MARK)
        shapes.clone_domain(facts, stamp).createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
        assert own.read_bytes().endswith(MARK), "it starts with them"
        await shapes.removed(session, stamp)
        assert (theirs.read_bytes(), facts.volume_names(), _files()) == before
        assert _transient_pools(facts) == []

    play(scenario)


def test_a_source_that_never_ran_has_clones_that_never_ran() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        disk = DiskSpec(path=shapes.image(facts, "src.qcow2", "A"))
        facts = shapes.define(facts, disk, os=_a_file_and_its_template(facts).replace("/sub/", "/no-such-folder/"))
        stamp = await shapes.cloned(session, facts)
        own = _clone_file(facts, stamp)
        assert own.parent == facts.pool_path
        assert not own.exists()
        shapes.clone_domain(facts, stamp).createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
        assert own.read_bytes() == _blank()
        await shapes.removed(session, stamp)
        assert not own.exists()

    play(scenario)


def test_a_running_source_whose_variables_are_gone_has_no_clones() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        facts, theirs = _uefi_source(facts, _a_loader(facts))
        shapes.domain_of(facts).createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
        theirs.unlink()
        with pytest.raises(SourceUnhealthy, match="missing or empty"):
            await shapes.cloned(session, facts)
        assert _transient_pools(facts) == []

    play(scenario)


def test_a_file_that_undefining_left_goes_with_the_clone() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        facts, _ = _uefi_source(facts, _chosen_by_libvirt(facts))
        stamp = await shapes.cloned(session, facts)
        own = _clone_file(facts, stamp)
        shapes.clone_domain(facts, stamp).undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM)
        assert own.exists()
        assert own.name.startswith(naming.volume_prefix(stamp.instance, stamp.incarnation))
        await shapes.removed(session, stamp)
        assert not own.exists()

    play(scenario)


def test_the_pool_of_a_reader_that_was_killed_is_used_and_removed() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        facts, _ = _uefi_source(facts, _chosen_by_libvirt(facts))
        xml = f"<pool type='dir'><name>{POOL_PREFIX}left</name><target><path>{FOLDER}</path></target></pool>"
        facts.connection.storagePoolCreateXML(xml)
        stamp = await shapes.cloned(session, facts)
        assert _clone_file(facts, stamp).read_bytes().endswith(MARK)
        assert _transient_pools(facts) == []
        await shapes.removed(session, stamp)

    play(scenario)
