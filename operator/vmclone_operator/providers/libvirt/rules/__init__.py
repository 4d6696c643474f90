"""What becomes of every element and attribute of a source's definition in its clone's: one table, closed.

What the table does not know is refused by name, so nothing of a source's host reaches a clone because nobody thought
of it. The clone's XML is written by walking the source's against the table (`definition.py`); the page
`docs/reference/libvirt-domain.md` is generated from it, and a test walks libvirt's own schema and fails on an element
or attribute that the table does not decide.
"""

from __future__ import annotations

from vmclone_operator.providers.libvirt.rules import characters, devices, disks, machine, networks, screens
from vmclone_operator.providers.libvirt.rules.notation import Rule, Section, Table, Verdict

SECTIONS: tuple[Section, ...] = (
    *machine.SECTIONS,
    *disks.SECTIONS,
    *networks.SECTIONS,
    *characters.SECTIONS,
    *screens.SECTIONS,
    *devices.SECTIONS,
)
TABLE = Table(SECTIONS)

__all__ = ["SECTIONS", "TABLE", "Rule", "Section", "Table", "Verdict"]
