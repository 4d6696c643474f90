"""One source, one operator and one run of the demo for all real-VM tests: a guest costs 40 CPU-seconds to boot."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.e2e import figures
from tests.e2e.audit import AuditLog
from tests.e2e.cluster import VMCLONES, delete, get, names_of_vmclones, replicas_of, wait_until
from tests.e2e.load import WriteLoad
from tests.e2e.machines import (
    ROOT,
    Starts,
    copy_seconds,
    domains,
    identity,
    lab_source,
    login_to_clone,
    login_to_source,
    remove_machine,
    virsh,
)
from tests.e2e.operator_run import Operator
from tests.e2e.planted import plant
from tests.e2e.story import BootCost, Demo, StockBoot
from tests.support.cluster_cli import kubectl

from vmclone_demo import release
from vmclone_lab.layout import Layout
from vmclone_lab.sources import cpu_seconds

SOURCE, STOCK, GAUGE = "golden-dev", "golden-stock", "e2e-gauge"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what was measured, also when all is well."""
    for line in figures.MEASURED:
        terminalreporter.write_line(f"measured: {line}")


@pytest.fixture(scope="session")
def starts(logs_folder: Path, count_boots: Callable[[int], None]) -> Iterator[Starts]:
    """Every start of a VM from here on; the total goes to `hack/test`."""
    begun = time.monotonic()
    recorder = Starts(logs_folder / "libvirt-events.log")
    yield recorder
    recorder.close()
    count_boots(len(recorder.all()))
    figures.tell(f"{len(recorder.all())} boots, {(time.monotonic() - begun) / 60:.1f} minutes in all")


@pytest.fixture(scope="session")
def platform(starts: Starts) -> None:
    """What the platform team applies; clones that an earlier run left are removed first."""
    assert starts.all() == []
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(ROOT / "crds"))
    release.prepare()
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "examples" / "platform.yaml"))
    release.remove()
    cleaner = Operator()
    try:
        cleaner.start_and_lead()
        for name in names_of_vmclones():
            delete(name)
        wait_until("the clones of earlier runs are gone", lambda: not names_of_vmclones(), 120)
    finally:
        cleaner.stop()


@pytest.fixture(scope="session")
def boot_cost(platform: None, starts: Starts) -> BootCost:  # noqa: ARG001  - booted after the clean-up, alone
    """What one boot costs on this machine in this run; a source that runs already is measured with a second VM."""
    running = SOURCE in domains("--state-running")
    facts = lab_source(GAUGE if running else SOURCE)
    if running:
        remove_machine(GAUGE)
    cost = BootCost(wall_seconds=facts["bootWallSeconds"], cpu_seconds=facts["bootCPUSeconds"])
    figures.tell(f"one boot: {cost.wall_seconds} s wall (T1), {cost.cpu_seconds} s CPU (CPU1)")
    return cost


@pytest.fixture(scope="session")
def source(boot_cost: BootCost) -> dict[str, Any]:
    """The running source, with a home as people have them."""
    assert boot_cost.wall_seconds > 0
    facts = lab_source(SOURCE)
    plant(login_to_source(facts))
    return facts


@pytest.fixture(scope="session")
def load(source: dict[str, Any]) -> Iterator[WriteLoad]:
    """Somebody works on the source, from the first test to the last."""
    work = WriteLoad(login_to_source(source))
    wait_until("the write load writes", lambda: work.written() > 10, 30)
    yield work
    work.close()


@pytest.fixture(scope="session")
def floor_seconds(load: WriteLoad) -> float:
    """What the disk copied once and three bare guests that boot side by side take, while somebody works on the source.

    It is measured, not computed from one boot: what a CPU-second is worth here changes with what else runs.
    """
    assert load.written() > 0
    copied = copy_seconds(SOURCE)
    names = [f"{GAUGE}-{number}" for number in range(1, 4)]
    for name in names:
        lab_source(name, "--off")
    with ThreadPoolExecutor(len(names)) as together:
        seconds = max(facts["bootWallSeconds"] for facts in together.map(lab_source, names))
    for name in names:
        remove_machine(name)
    figures.tell(f"the disk copied once: {copied:.1f} s; then three bare boots side by side: {seconds:.0f} s")
    return copied + float(seconds)


@pytest.fixture(scope="session")
def audit() -> AuditLog:
    """Return the lab's audit log."""
    return AuditLog(Layout.from_environment(os.environ).audit_log)


@pytest.fixture(scope="session")
def demo(source: dict[str, Any], load: WriteLoad, floor_seconds: float, audit: AuditLog, logs_folder: Path) -> Demo:
    """The demo, run once, with a look at the source before and at everybody afterwards."""
    assert floor_seconds > 0, "measured before, when nothing of ours ran"
    login = login_to_source(source)
    before, written, mark = identity(SOURCE, login), load.written(), audit.mark()
    begun = time.monotonic()
    done = subprocess.run([ROOT / "hack" / "demo"], capture_output=True, text=True, timeout=1200, check=False)
    wall = time.monotonic() - begun
    (logs_folder / "demo.log").write_text(done.stdout)
    figures.tell(f"the demo with a running source: {wall:.0f} s")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    replicas = replicas_of("dev")
    names = [replica["status"]["intent"]["vmName"] for replica in replicas]
    used = [cpu_seconds(virsh("domstats", "--cpu-total", name)) for name in names]
    return Demo(
        output=done.stdout,
        audit_mark=mark,
        gaps=load.gaps(written),
        vmclone=get(VMCLONES, "dev"),
        replicas=replicas,
        fresh=replicas_of("fresh"),
        wall_seconds=wall,
        source_before=before,
        source_after=identity(SOURCE, login),
        clones=[identity(n, login_to_clone(r, source)) for n, r in zip(names, replicas, strict=True)],
        cpu_seconds=used,
    )


@pytest.fixture(scope="session")
def operator(platform: None) -> Iterator[Operator]:  # noqa: ARG001  - it needs the CRDs
    """Our own operator in the place of the demo's."""
    release.remove()
    own = Operator()
    try:
        own.start_and_lead()
        yield own
    finally:
        own.stop()


@pytest.fixture(scope="session")
def stock_boot(platform: None, logs_folder: Path) -> Iterator[StockBoot]:  # noqa: ARG001  - after the clean-up
    """A source as a distribution ships it, booting while other tests only wait."""
    boot = StockBoot(STOCK, logs_folder / "stock-source.json")
    yield boot
    boot.close()
    remove_machine(STOCK)
