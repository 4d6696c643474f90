"""Writes the clone's part of a definition by walking the source's against the table: what stays, and what is refused.

What is made anew is left empty here, in its place: `clone_xml` fills it in. The walk decides each element and each
attribute by its path (`rules`), so nothing is taken along that nobody decided about.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from copy import deepcopy
from dataclasses import dataclass, field

from vmclone_operator.providers.libvirt.kernel_words import secret_words
from vmclone_operator.providers.libvirt.places import writable
from vmclone_operator.providers.libvirt.rules import TABLE, Rule, Verdict
from vmclone_operator.providers.libvirt.rules.notation import REMOVE

_NAMESPACE = re.compile(r"\{https?://libvirt\.org/schemas/domain/(?P<prefix>[^}/]+)[^}]*\}")


@dataclass(slots=True, kw_only=True)
class _Walk:
    refusals: list[str] = field(default_factory=list)

    def element(self, own: ET.Element, parent: ET.Element, path: str, subject: str) -> ET.Element | None:
        """Return what a clone gets of an element; None: nothing. `subject` begins the sentence of a refusal."""
        rule = TABLE.decide(path, "", own, parent)
        if not self._allowed(rule, subject, _shown(own)) or rule is None or rule.verdict is Verdict.DROPPED:
            return None
        new = ET.Element(own.tag)
        new.tail = own.tail
        if rule.verdict is Verdict.MADE_ANEW:
            return new
        if not self._attributes(new, own, parent, path, subject):
            return None
        new.text = self._text(own, parent, path, subject)
        for child in own:
            below = f"{path}/{tag_of(child)}" if path else tag_of(child)
            found = self.element(child, own, below, subject_of(child, own) if path == "devices" else subject)
            if found is not None:
                new.append(found)
        return new

    def _attributes(self, new: ET.Element, own: ET.Element, parent: ET.Element, path: str, subject: str) -> bool:
        """Take attributes along; false when one of them is refused: then the element is, with all that is in it."""
        for name, value in own.attrib.items():
            rule = TABLE.decide(f"{path}@{name}", value, own, parent)
            if not self._allowed(rule, subject, _shown(own, name)):
                return False
            if rule is not None and rule.verdict is Verdict.KEPT:
                new.set(name, value)
        return True

    def _text(self, own: ET.Element, parent: ET.Element, path: str, subject: str) -> str | None:
        text = (own.text or "").strip()
        if not text or not TABLE.rules(f"{path}#"):
            return own.text
        rule = TABLE.decide(f"{path}#", text, own, parent)
        allowed = self._allowed(rule, subject, f"{text} in {_shown(own)}")
        return own.text if allowed and rule is not None and rule.verdict is Verdict.KEPT else None

    def _allowed(self, rule: Rule | None, subject: str, what: str) -> bool:
        if rule is None:
            self.refusals.append(f"{subject} has {what}, {_UNKNOWN}")
        elif rule.verdict is Verdict.REFUSED:
            self.refusals.append(_sentence(rule, subject, what))
        return rule is not None and rule.verdict is not Verdict.REFUSED


_UNKNOWN = "which vmclone does not know: whether a second VM may have it is not decided; remove it from the source"


def _sentence(rule: Rule, subject: str, what: str) -> str:
    """Return a refusal: `disk vdc is shareable (<shareable>): ...` or `the VM has <hostdev>: ...`."""
    if rule.reason.startswith("is "):
        return f"{subject} {rule.reason} ({what}); {rule.remedy}"
    return f"{subject} has {what}: {rule.reason}; {rule.remedy}"


def tag_of(element: ET.Element) -> str:
    """Return an element's name as the table writes it: libvirt's plain, others' with a prefix (`qemu:override`)."""
    return _NAMESPACE.sub(lambda found: f"{found['prefix']}:", element.tag)


def _shown(element: ET.Element, attribute: str = "") -> str:
    """Return an element as a reader finds it in the source's XML, with the attribute that matters."""
    if not attribute:
        return f"<{tag_of(element)}>"
    return f"<{tag_of(element)} {attribute}='{element.get(attribute, '')}'>"


def subject_of(device: ET.Element, devices: ET.Element) -> str:
    """Return how a sentence names a device's owner: a disk by its target, one of several cards by its number."""
    target = device.find("target")
    if device.tag == "disk" and target is not None:
        return f"disk {target.get('dev', '')}"
    alike = devices.findall(device.tag)
    return f"{device.tag} {alike.index(device) + 1} of the VM" if len(alike) > 1 else "the VM"


def taken_along(source: ET.Element) -> tuple[ET.Element, list[str]]:
    """Return what a clone gets of its source's (inactive) definition, and why it cannot be had, in sentences."""
    walk = _Walk()
    found = walk.element(source, source, "", "the VM")
    domain = ET.Element("domain") if found is None else found
    return domain, walk.refusals + secret_words(source.findtext("os/cmdline", "")) + _shared_paths(domain)


def _shared_paths(taken: ET.Element) -> list[str]:
    """Return which paths a clone would have of its source and could write to: the proof before it is switched on fails.

    Disks do not count: one that can be written is refused, or the clone has a copy in its place.
    """
    rest = deepcopy(taken)
    for devices in rest.findall("devices"):
        for disk in devices.findall("disk"):
            devices.remove(disk)
    return [
        f"{place.where} is {place.path}, which the clone would share with its source and could write to; {REMOVE}"
        for place in writable(rest)
    ]


def refusals(source: ET.Element) -> list[str]:
    """Return what of a definition no second VM can have, in sentences."""
    return taken_along(source)[1]
