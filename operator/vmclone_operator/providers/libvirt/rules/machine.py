"""Rows about the machine: names, processors, memory, firmware, features, and what a guest reads from its firmware."""

from __future__ import annotations

from vmclone_operator.providers.libvirt.rules.notation import Section, dropped, kept, made_anew, refused
from vmclone_operator.providers.libvirt.rules.shared import PROGRAM_LABELS

_SIZES = "its memory stays as large and as it is"
_SAME = "the guest sees the same machine"
_CONTAINER = "it is of containers, not of QEMU"
_OTHERS = "clones are made of QEMU's VMs only"

DOMAIN = Section(
    path="",
    title="The VM",
    rows=(
        kept("@type=qemu|kvm", "how it is run"),
        refused(
            "@type=bhyve|hvf|hyperv|kqemu|lxc|openvz|phyp|test|uml|vbox|vmware|vz|xen",
            _OTHERS,
            "clone it with a tool for its hypervisor",
        ),
        dropped("(id)", "the number of the running VM"),
        made_anew("name uuid", "each VM has its own"),
        made_anew("genid", "left empty: libvirt draws a new one"),
        dropped("hwuuid", "the hardware's UUID is the clone's own, too"),
        dropped("title description", "they describe the source"),
        made_anew("metadata", "our stamp alone: notes of other tools are about the source"),
        kept("memory(unit dumpCore) currentMemory(unit) maxMemory(unit slots)", _SIZES),
        kept("memtune memtune/hard_limit(unit) memtune/soft_limit(unit)", _SIZES),
        kept("memtune/swap_hard_limit(unit) memtune/min_guarantee(unit)", _SIZES),
        kept("memoryBacking memoryBacking/hugepages memoryBacking/hugepages/page(size unit nodeset)", _SIZES),
        kept(
            "memoryBacking/locked memoryBacking/nosharepages memoryBacking/discard memoryBacking/source(type)", _SIZES
        ),
        kept("memoryBacking/access(mode) memoryBacking/allocation(mode threads)", _SIZES),
        kept("numatune numatune/memory(mode nodeset placement) numatune/memnode(cellid mode nodeset)", _SIZES),
        kept("vcpu(placement cpuset current) vcpus vcpus/vcpu(id enabled hotpluggable order)", "its processors stay"),
        kept("iothreads iothreadids iothreadids/iothread(id thread_pool_min thread_pool_max)", "disks refer to them"),
        kept(
            "iothreadids/iothread/poll(max grow shrink) defaultiothread(thread_pool_min thread_pool_max)", "so do these"
        ),
        kept("on_poweroff on_reboot on_crash on_lockfailure", "what happens to it stays"),
        kept("pm pm/suspend-to-mem(enabled) pm/suspend-to-disk(enabled) perf perf/event(name enabled)", _SAME),
        kept("keywrap keywrap/cipher(name state)", _SAME),
        dropped("resource", "the source's place among the host's control groups, and its name in a storage network"),
        PROGRAM_LABELS,
        refused("launchSecurity", "its memory is sealed for one VM: a second has another launch secret"),
        refused("bootloader bootloader_args idmap", _CONTAINER),
        refused("lxc:namespace xen:commandline bhyve:commandline", _OTHERS),
        refused("vmware:datacenterpath vmware:moref", _OTHERS),
        refused(
            "qemu:commandline",
            "QEMU's arguments may name files, sockets, ports and secrets of the source (qemu:commandline)",
            "say it in libvirt's own elements, or remove it",
        ),
        kept("qemu:capabilities qemu:capabilities/qemu:add(capability) qemu:capabilities/qemu:del(capability)", _SAME),
        kept("qemu:deprecation(behavior)", "how QEMU treats old options"),
    ),
)
_TUNABLES = (
    "num-queues|queue-size|rx_queue_size|tx_queue_size|event_idx|indirect_desc|packed|iommu_platform|disable-legacy|"
    "disable-modern|ats|logical_block_size|physical_block_size|min_io_size|opt_io_size|discard_granularity|"
    "max-discard-sectors|max-write-zeroes-sectors|rotation_rate|werror|rerror|write-cache|config-wce|scsi|seg-max-adjust|"
    "max_sectors|cmd_per_lun|mrg_rxbuf|csum|gso|guest_csum|guest_tso4|guest_tso6|guest_ecn|guest_ufo|host_tso4|"
    "host_tso6|host_ecn|host_ufo|mq|rss|hash|host_mtu|speed|duplex|edid|xres|yres|max_outputs|vgamem_mb|ram_size|"
    "vram_size|x-speed|x-width|x-pcie-lnksta-dllla|hotplug|rombar|multifunction|guest-stats-polling-interval"
)
OVERRIDE = Section(
    path="qemu:override",
    title="QEMU's properties of devices (qemu:override)",
    rows=(
        kept("qemu:device(alias)", "it goes with the device of that alias; without the device it is dropped"),
        kept("qemu:device/qemu:frontend qemu:device/qemu:frontend/qemu:property(type value)", "see the names below"),
        kept(f"qemu:device/qemu:frontend/qemu:property@name={_TUNABLES}", "tuning: it names nothing of the host"),
        refused(
            "qemu:device/qemu:frontend/qemu:property@(name)",
            "it may set an address, a number or a file that is the source's own",
            "say it in libvirt's own elements, or remove it",
        ),
    ),
)
PROCESSOR = Section(
    path="cpu",
    title="The processor that the guest sees",
    rows=(
        kept("(mode match check migratable deprecated_features) model(fallback vendor_id) vendor", _SAME),
        kept("topology(sockets dies clusters modules cores threads) feature(name policy)", _SAME),
        kept("cache(level mode) maxphysaddr(mode bits limit)", _SAME),
        kept("numa numa/cell(id cpus memory unit memAccess discard)", _SAME),
        kept("numa/cell/distances numa/cell/distances/sibling(id value)", _SAME),
        kept("numa/cell/cache(level associativity policy) numa/cell/cache/size(value unit)", _SAME),
        kept("numa/cell/cache/line(value unit) numa/interconnects", _SAME),
        kept("numa/interconnects/latency(initiator target cache type value)", _SAME),
        kept("numa/interconnects/bandwidth(initiator target cache type value unit)", _SAME),
    ),
)
TUNING = Section(
    path="cputune",
    title="How its processors are scheduled",
    rows=(
        kept("shares period quota global_period global_quota emulator_period emulator_quota", "limits, per VM"),
        kept("iothread_period iothread_quota vcpupin(vcpu cpuset) emulatorpin(cpuset)", "processors are not used up"),
        kept("iothreadpin(iothread cpuset) emulatorsched(scheduler priority)", "processors are not used up"),
        kept("vcpusched(vcpus scheduler priority) iothreadsched(iothreads scheduler priority)", "as above"),
        dropped("cachetune memorytune", "a share of the host's cache or bandwidth that one VM alone can have"),
    ),
)
BLOCK_TUNING = Section(
    path="blkiotune",
    title="Weights of its disks",
    rows=(
        kept("weight device device/path device/weight", "limits, per VM; nothing is opened"),
        kept("device/read_bytes_sec device/write_bytes_sec device/read_iops_sec device/write_iops_sec", "as above"),
    ),
)
CLOCK = Section(
    path="clock",
    title="Its clock",
    rows=(
        kept("(offset basis adjustment start timezone)", _SAME),
        kept("timer(name mode present track tickpolicy frequency) timer/catchup(threshold slew limit)", _SAME),
    ),
)
_SWITCHES = (
    "acpi apic(eoi) pae hap(state) viridian privnet pvspinlock(state) pmu(state) vmport(state) vmcoreinfo(state)"
)
FEATURES = Section(
    path="features",
    title="What the machine can do",
    rows=(
        kept(_SWITCHES, _SAME),
        kept("gic(version) smm(state) smm/tseg(unit) tcg tcg/tb-cache(unit) ioapic(driver) hpt(resizing)", _SAME),
        kept("hpt/maxpagesize(unit) htm(state) nested-hv(state) ccf-assist(state) msrs(unknown)", _SAME),
        kept("cfpc(value) sbbc(value) ibs(value) async-teardown(enabled) ras(state) ps2(state) aia(value)", _SAME),
        kept("kvm kvm/hidden(state) kvm/hint-dedicated(state) kvm/poll-control(state) kvm/pv-ipi(state)", _SAME),
        kept("kvm/dirty-ring(state size) xen xen/e820_host(state) xen/passthrough(state mode)", _SAME),
        kept("hyperv(mode) hyperv/relaxed(state) hyperv/vapic(state) hyperv/spinlocks(state retries)", _SAME),
        kept("hyperv/vpindex(state) hyperv/runtime(state) hyperv/synic(state) hyperv/stimer(state)", _SAME),
        kept("hyperv/stimer/direct(state) hyperv/reset(state) hyperv/vendor_id(state value)", _SAME),
        kept("hyperv/frequencies(state) hyperv/reenlightenment(state) hyperv/tlbflush(state) hyperv/ipi(state)", _SAME),
        kept("hyperv/tlbflush/direct(state) hyperv/tlbflush/extended(state)", _SAME),
        kept("hyperv/evmcs(state) hyperv/avic(state) hyperv/emsr_bitmap(state) hyperv/xmm_input(state)", _SAME),
        refused("capabilities", _CONTAINER),
    ),
)
_READ_AT_BOOT = "a guest reads it at every boot, and credentials stand in it: no scrub of the disk would see them"
FIRMWARE = Section(
    path="os",
    title="Firmware and boot",
    rows=(
        kept("(firmware) type(arch machine) firmware firmware/feature(name enabled)", _SAME),
        refused(
            "loader[@type=pflash][@readonly!=yes]",
            "two VMs would write the file of their firmware, with its variables in it",
            "give the VM firmware that is only read, and variables of its own (nvram)",
        ),
        kept("loader(readonly secure type stateless format)", "firmware's code is only read"),
        kept("nvram(template templateFormat format) nvram@type=file", "how blank variables are made"),
        made_anew("nvram#", "a copy of the source's variables (mode Disk) or blank ones (Clean), in a file of its own"),
        dropped("nvram/source", "the source's variables, which another element names"),
        refused(
            "nvram@type=block|dir|network|nvme|vhostuser|volume",
            "firmware variables (nvram) are copied from files only",
            "keep them in a file",
        ),
        kept("boot(dev) bootmenu(enable timeout) bios(useserial rebootTimeout)", "it boots as its source does"),
        kept("kernel initrd dtb shim", "files of the host that are only read; what is secret in an initrd stays in it"),
        kept("cmdline", "so does the kernel's"),
        made_anew("cmdline#", "the source's, without the words that name a machine or carry credentials (see below)"),
        kept("smbios@mode=emulate|sysinfo smbios", "what the guest's firmware tables show"),
        refused("smbios@mode=host", "the guest sees the serial numbers of its host, as its source does"),
        dropped("acpi", "a table with the licence of one machine (SLIC)"),
        refused("varstore", "firmware variables in this form are not copied yet"),
        refused("init initarg initenv initdir inituser initgroup root", _CONTAINER),
    ),
)
_NUMBER = "the number of one machine"
STRINGS = Section(
    path="sysinfo",
    title="What firmware tells the guest (SMBIOS, fw_cfg)",
    rows=(
        dropped("[@type=fwcfg]", _READ_AT_BOOT),
        dropped("entry oemStrings", _READ_AT_BOOT),
        kept("@type=smbios", "SMBIOS entries that say what the machine is"),
        made_anew("system/entry[@name=uuid]", "the UUID of the clone: QEMU refuses another"),
        dropped("system/entry[@name=serial] baseBoard/entry[@name=serial] baseBoard/entry[@name=asset]", _NUMBER),
        dropped("chassis/entry[@name=serial] chassis/entry[@name=asset]", _NUMBER),
        kept("bios bios/entry bios/entry@name=vendor|version|date|release", _SAME),
        kept("system system/entry system/entry@name=manufacturer|product|version|sku|family", _SAME),
        kept("baseBoard baseBoard/entry baseBoard/entry@name=manufacturer|product|version|location", _SAME),
        kept("chassis chassis/entry chassis/entry@name=manufacturer|version|sku", _SAME),
    ),
)
SECTIONS = (DOMAIN, FIRMWARE, STRINGS, PROCESSOR, TUNING, BLOCK_TUNING, CLOCK, FEATURES, OVERRIDE)
