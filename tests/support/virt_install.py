"""Has virt-install write the definitions of tests/integration/libvirt/corpus/virt-install anew, by its own variants.

    hack/lab exec -- python -m tests.support.virt_install

Needs Debian's virtinst (4.1.0 when the files were made) and the lab's libvirtd; it defines nothing.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "integration" / "libvirt" / "corpus" / "virt-install"
_DISK = "path=/var/lib/libvirt/images/golden.qcow2,size=1,format=qcow2"
_PLAIN = (
    *("virt-install", "--connect", "qemu:///system", "--virt-type", "qemu", "--print-xml", "--dry-run", "--import"),
    *("--name", "golden", "--memory", "512", "--vcpus", "2"),
)
SYSTEMS = (
    *(
        "debian11",
        "debian10",
        "ubuntu22.04",
        "ubuntu20.04",
        "ubuntu18.04",
        "fedora37",
        "fedora36",
        "rhel9.1",
        "rhel8.6",
    ),
    *("rhel7.9", "rhel6.10", "centos-stream9", "centos7.0", "rocky9", "almalinux9", "opensuse15.4", "sles15sp4"),
    *("archlinux", "alpinelinux3.17", "gentoo", "ol9.1", "win10", "win11", "win2k22", "win2k16", "win7", "winxp"),
    *(
        "freebsd13.1",
        "openbsd7.0",
        "netbsd9.0",
        "solaris11",
        "linux2022",
        "linux2016",
        "generic",
        "fedora-coreos-stable",
    ),
)
_SYSTEM = ("--osinfo", "debian11")
VARIANTS: dict[str, tuple[str, ...]] = {
    "uefi": ("--boot", "uefi"),
    "uefi without secure boot": (
        "--boot",
        "firmware=efi,firmware.feature0.enabled=no,firmware.feature0.name=secure-boot",
    ),
    "pc machine": ("--machine", "pc"),
    "direct kernel": ("--boot", "kernel=/boot/vmlinuz,initrd=/boot/initrd.img,kernel_args=console=ttyS0"),
    "boot order": ("--boot", "network,hd,menu=on"),
    "tpm passthrough": ("--tpm", "/dev/tpm0"),
    "vnc": ("--graphics", "vnc"),
    "vnc listening with a password": ("--graphics", "vnc,listen=0.0.0.0,port=5911,password=secret"),
    "spice with opengl": (
        "--graphics",
        "spice,gl.enable=yes,listen=none",
        "--video",
        "virtio,model.acceleration.accel3d=yes",
    ),
    "egl-headless": ("--graphics", "egl-headless", "--graphics", "vnc"),
    "no graphics": ("--graphics", "none"),
    "qxl": ("--video", "qxl"),
    "sata disk": ("--disk", "path=/var/lib/libvirt/images/golden-data.qcow2,size=1,bus=sata"),
    "scsi disk": (
        "--controller",
        "type=scsi,model=virtio-scsi",
        "--disk",
        "path=/var/lib/libvirt/images/golden-data.qcow2,size=1,bus=scsi",
    ),
    "raw data disk": ("--disk", "path=/var/lib/libvirt/images/golden-data.raw,size=1,format=raw,cache=none,io=native"),
    "shareable disk": ("--disk", "path=/var/lib/libvirt/images/golden-data.raw,size=1,format=raw,shareable=yes"),
    "read-only disk": ("--disk", "path=/var/lib/libvirt/images/golden-data.qcow2,size=1,readonly=yes"),
    "disk with a serial": ("--disk", "path=/var/lib/libvirt/images/golden-data.qcow2,size=1,serial=DATA-0002"),
    "transient disk": ("--disk", "path=/var/lib/libvirt/images/golden-data.qcow2,size=1,transient=yes"),
    "cdrom": ("--disk", "device=cdrom"),
    "floppy": ("--disk", "device=floppy"),
    "network disk": ("--disk", "source.protocol=rbd,source.name=pool/image,source.host0.name=192.0.2.1,bus=virtio"),
    "user network": ("--network", "user"),
    "no network": ("--network", "none"),
    "two networks": ("--network", "network=default", "--network", "network=default,model=e1000e,mac=52:54:00:12:34:56"),
    "direct network": ("--network", "type=direct,source=eth0,source.mode=bridge"),
    "network with a filter": ("--network", "network=default,filterref.filter=clean-traffic"),
    "vhost-user network": (
        "--network",
        "type=vhostuser,source.type=unix,source.path=/tmp/vhost.sock,source.mode=client",
    ),
    "virtiofs": (
        "--memorybacking",
        "source.type=memfd,access.mode=shared",
        "--filesystem",
        "/srv/share,share,driver.type=virtiofs",
    ),
    "9p": ("--filesystem", "/srv/share,share"),
    "usb host device": ("--hostdev", "0x1234:0x5678,type=usb"),
    "pci host device": (
        "--hostdev",
        "type=pci,source.address.domain=0,source.address.bus=0,source.address.slot=31,source.address.function=0",
    ),
    "redirected usb": ("--redirdev", "usb,type=tcp,source.host=192.0.2.1,source.service=4000,source.mode=connect"),
    "shmem": ("--shmem", "name=shared,size=4,size.unit=M,model.type=ivshmem-plain"),
    "vsock": ("--vsock", "auto=no,address=77"),
    "watchdog": ("--watchdog", "i6300esb,action=poweroff"),
    "sound": ("--sound", "ich9"),
    "rng": ("--rng", "/dev/urandom,rate_bytes=1024,rate_period=1000"),
    "smartcard": ("--smartcard", "passthrough,type=spicevmc"),
    "console in a file": ("--serial", "file,source.path=/var/log/golden.log"),
    "console over tcp": (
        "--serial",
        "tcp,source.host=0.0.0.0,source.service=4001,source.mode=bind,protocol.type=telnet",
    ),
    "channel with a socket": (
        "--channel",
        "unix,source.path=/run/golden.sock,source.mode=bind,target.type=virtio,target.name=org.example.0",
    ),
    "smbios": (
        "--sysinfo",
        "system.serial=SERIAL-1,baseBoard.serial=BOARD-1,chassis.asset=ASSET-1",
        "--boot",
        "smbios.mode=sysinfo",
    ),
    "smbios of the host": ("--sysinfo", "host"),
    "oem strings": ("--sysinfo", "oemStrings.entry0=io.systemd.credential:mycred=secret"),
    "qemu arguments": ("--qemu-commandline", "-fw_cfg name=opt/org.example/x,string=y"),
    "cpu of the host": ("--cpu", "host-passthrough"),
    "numa and topology": (
        "--vcpus",
        "4,sockets=2,cores=2",
        "--cpu",
        "qemu64,cell0.cpus=0-1,cell0.memory=262144,cell1.cpus=2-3,cell1.memory=262144",
    ),
    "hugepages": ("--memorybacking", "hugepages=yes"),
    "iothreads": (
        "--iothreads",
        "2",
        "--disk",
        "path=/var/lib/libvirt/images/golden-data.qcow2,size=1,driver.iothread=1",
    ),
    "nvdimm": (
        "--memdev",
        "nvdimm,source.path=/srv/nvdimm,target.size=256,target.node=0,target.label_size=1",
        "--memory",
        "512,maxMemory=2048,maxMemory.slots=2",
        "--cpu",
        "qemu64,cell0.cpus=0-1,cell0.memory=524288",
    ),
    "resource and limits": (
        "--resource",
        "partition=/machine",
        "--blkiotune",
        "weight=200",
        "--memtune",
        "hard_limit=4194304",
    ),
    "events": ("--events", "on_poweroff=destroy,on_reboot=restart,on_crash=preserve"),
    "security label": ("--security", "type=static,label=+107:+107,relabel=no"),
    "metadata": ("--metadata", "title=Golden machine,description=Do not touch"),
    "launch security": ("--launchSecurity", "sev,policy=0x0003"),
    "panic": ("--panic", "isa"),
    "iommu": ("--iommu", "model=intel,driver.intremap=on", "--features", "ioapic.driver=qemu"),
}


def write() -> None:
    """Write one file for each variant, and remove what no variant writes."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    wanted: dict[str, tuple[str, ...]] = {f"osinfo {name}": ("--osinfo", name) for name in SYSTEMS}
    wanted |= {name: (*_SYSTEM, *options) for name, options in VARIANTS.items()}
    for name, options in wanted.items():
        run = [*_PLAIN, *options, "--disk", _DISK]
        run += [] if "--network" in options else ["--network", "network=default"]
        made = subprocess.run(run, check=False, capture_output=True, text=True)
        if made.returncode:
            print(f"{name}: {made.stderr.strip().splitlines()[:1]}")  # noqa: T201 - a command
            continue
        text = re.sub(r"<uuid>.*</uuid>", "<uuid>6f7f0a52-0f0f-4f0f-8f0f-0f0f0f0f0f0f</uuid>", made.stdout)
        first = re.split(r"(?<=</domain>)\n+", text)[0]
        (FOLDER / f"{name.replace(' ', '-')}.xml").write_text(f"{first.strip()}\n", encoding="utf-8")


if __name__ == "__main__":
    write()
