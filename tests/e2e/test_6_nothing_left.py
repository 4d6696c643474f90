"""When every wish is gone, nothing that was made for one is left."""

from __future__ import annotations

import pytest
from tests.e2e.cluster import delete, names_of_vmclones, wait_until
from tests.e2e.machines import virsh, volumes

pytestmark = [pytest.mark.guest, pytest.mark.usefixtures("operator")]


def test_without_vmclones_there_is_no_volume_of_ours() -> None:
    for name in names_of_vmclones():
        delete(name)
    wait_until("all VMClones are gone", lambda: not names_of_vmclones(), 120)
    virsh("pool-refresh", "default")
    listed = [line.split()[0] for line in virsh("vol-list", "default").splitlines() if line.strip()]
    assert [name for name in listed if name.startswith("vmclone-")] == []
    assert volumes() == set()
    assert "vmclone.dev/xmlns" not in "".join(
        virsh("dumpxml", name) for name in virsh("list", "--all", "--name").split()
    )
