"""Rows about screens, pictures and sound: what is shown stays, and ports, passwords and sockets are the clone's own."""

from __future__ import annotations

from vmclone_operator.providers.libvirt.rules.notation import Section, dropped, kept, made_anew, refused
from vmclone_operator.providers.libvirt.rules.shared import SEAT

_SHOWN = "how it is shown"
_GUEST = "what the guest sees"
GRAPHICS = Section(
    path="devices/graphics",
    title="Screens",
    rows=(
        kept("@type=vnc|spice|rdp|sdl|egl-headless|dbus", "what kind of screen it is"),
        refused("@type=desktop", "it is of other hypervisors"),
        made_anew("@(port tlsPort websocket autoport)", "libvirt chooses free ones for vnc, spice and rdp"),
        dropped("@(passwd passwdValidTo connected username)", "a password of the source"),
        dropped("@(socket) listen@(socket)", "a socket of the source; libvirt names another"),
        dropped("@(address)", "a bus on which the source has its name; the clone gets a bus of its own"),
        kept(
            "(listen keymap sharePolicy powerControl defaultMode multiUser replaceUser fullscreen display xauth p2p)",
            _SHOWN,
        ),
        kept(
            "listen(type address network) audio(id) gl(enable rendernode) channel(name mode) image(compression)", _SHOWN
        ),
        kept("jpeg(compression) zlib(compression) playback(compression) streaming(mode) clipboard(copypaste)", _SHOWN),
        kept("mouse(mode) filetransfer(enable)", _SHOWN),
    ),
)
VIDEO = Section(
    path="devices/video",
    title="Graphics cards",
    rows=(
        kept(
            "model(type ram vram vram64 vgamem heads primary blob edid) model/acceleration(accel2d accel3d rendernode)",
            _GUEST,
        ),
        kept("model/resolution(x y) driver(name vgaconf iommu ats packed page_per_vq)", _GUEST),
        *SEAT,
    ),
)
_SOUND = "how sound is played; many may play at a time"
AUDIO = Section(
    path="devices/audio",
    title="Where sound goes",
    rows=(
        kept("@type=none|spice|dbus|pulseaudio|pipewire (id timerPeriod serverName runtimeDir)", _SOUND),
        made_anew(
            "@type=alsa|coreaudio|file|jack|oss|sdl",
            "a file or sound card of the host: the clone's sound goes nowhere (none)",
        ),
        dropped("@(path driver dspPolicy exclusive tryMMap)", "a file or sound card of the host"),
        kept("input(mixingEngine fixedSettings voices bufferLength name streamName latency)", _SOUND),
        kept("output(mixingEngine fixedSettings voices bufferLength name streamName latency)", _SOUND),
        kept("input/settings(frequency channels format) output/settings(frequency channels format)", _SOUND),
        dropped(
            """input@(dev bufferCount tryPoll serverName clientName connectPorts exactName)
            output@(dev bufferCount tryPoll serverName clientName connectPorts exactName)""",
            "a sound card of the host, or the source's name at a sound server",
        ),
    ),
)
SOUND = Section(
    path="devices/sound",
    title="Sound cards",
    rows=(
        kept("(model multichannel streams) codec(type) audio(id) driver(iommu ats packed page_per_vq)", _GUEST),
        *SEAT,
    ),
)
SECTIONS = (GRAPHICS, VIDEO, AUDIO, SOUND)
