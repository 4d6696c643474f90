"""Tells settings without a value that could be a secret: `LOG_LEVEL=debug` in an `.env`, a registry in an `.npmrc`.

A closed list: every line is blank, a comment of words, or a name with nothing after it, a variable, a place holder, a
switch, a small number, a word that settings are known by, or an address without login, query and digits. A name that
says secret may have none of the last four.
"""

# Runs on the source, on Python 3.6: no newer typing.

import re

_COMMENT = re.compile(rb"#|;|//")
_WORD = re.compile(rb"[#/;*(\"'`=-]*[A-Za-z]{0,24}[.,:;!?)\"'`]{0,2}")
_LINE = re.compile(rb"(?:export[ \t]+)?\"?([@A-Za-z_][A-Za-z0-9_.:@/-]{0,80})\"?[ \t]*[=:][ \t]*(.*)\Z")
_STANDS_FOR = re.compile(rb"\$\{?[A-Za-z_][A-Za-z0-9_]{0,80}\}?|<[A-Za-z][A-Za-z _-]{0,60}>")
_HARMLESS = re.compile(
    rb"true|false|yes|no|on|off|null|none|[0-9]{1,5}|[0-9]{1,3}(?:\.[0-9]{1,3}){1,3}"
    rb"|development|production|staging|testing|test|local|localhost|dev|prod|trace|debug|info|warn|warning|error"
    rb"|postgres|postgresql|mysql|mariadb|sqlite|redis|mongodb|memory|node-modules|pnp|utf-?8|UTC"
    rb"|https?://[a-z][a-z.-]{0,60}(?::[0-9]{2,5})?(?:/[a-z.-]{1,20}){0,3}/?|(?:\.{1,2}/)[A-Za-z_./-]{0,60}",
    re.IGNORECASE,
)
_SECRET = re.compile(
    rb"pass|pwd|secret|token|key|cred|auth|login|cookie|session|salt|pin|otp|hook|dsn|cert", re.IGNORECASE
)


def has_no_secret(data: bytes) -> bool:
    """Return whether no line of a settings file has a value that could be a secret."""
    return b"\0" not in data and all(_is_harmless(line.strip()) for line in data.splitlines())


def _is_harmless(line: bytes) -> bool:
    if not line:
        return True
    if _is_comment(line):
        return not (_SECRET.search(line) and re.search(rb"[:=]", line))
    found = _LINE.match(line)
    if found is None:
        return False
    name, value = found.group(1), found.group(2).strip()
    if value[:1] in (b'"', b"'") and value[-1:] == value[:1]:
        value = value[1:-1]
    if not value or _STANDS_FOR.fullmatch(value):
        return True
    return _HARMLESS.fullmatch(value) is not None and not _SECRET.search(name)


def _is_comment(line: bytes) -> bool:
    """Return whether this is a comment of words; each is looked at by itself, so that no line takes long."""
    mark = _COMMENT.match(line)
    return mark is not None and all(map(_WORD.fullmatch, line[mark.end() :].split()))
