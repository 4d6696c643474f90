"""Tells settings without a value that could be a secret: `LOG_LEVEL=debug` in an `.env`, a registry in an `.npmrc`.

A closed list: every line is blank, a comment of words, or a name with nothing after it, a variable, a place holder, a
switch, a small number, a word that settings are known by, or an address without login, query and digits. A name that
says secret may have none of the last four. `DB_PASSWORD='$uperSecret'` is no variable, and what `openssl rand -base64`
writes is no name with nothing after its `=`.
"""

# Runs on the source, on Python 3.6: no newer typing.

import re

_COMMENT = re.compile(rb"#|;|//")
_WORD = re.compile(rb"[#/;*(\"'`=-]*[A-Za-z]{0,24}[.,:;!?)\"'`]{0,2}")
_LINE = re.compile(rb"(?:export[ \t]+)?\"?([@A-Za-z_][A-Za-z0-9_.:@/-]{0,80})\"?[ \t]*[=:][ \t]*(.*)\Z")
_VARIABLE = re.compile(rb"\$[A-Z][A-Z0-9_]{0,80}|\$\{(?:[A-Z_][A-Z0-9_]{0,80}|[a-z_][a-z0-9_]{0,80})\}")
_PLACE_HOLDER = re.compile(rb"<[A-Za-z][A-Za-z _-]{0,60}>")
_ASKS_FOR = re.compile(rb"<(?:your|enter|insert|replace|put|paste|add|set)[ _-][A-Za-z _-]{1,60}>", re.IGNORECASE)
"""Of a name that says secret, `<wonderland>` may be its value, `<your password>` is none."""
_LONGEST_NAME = 64
_PART = re.compile(rb"[A-Za-z]{0,32}[0-9]{0,4}|[A-Za-z0-9]{1,8}")
"""What a name is made of between its signs; not what random letters and digits are made of."""
_HARMLESS = re.compile(
    rb"true|false|yes|no|on|off|null|none|[0-9]{1,5}|[0-9]{1,3}(?:\.[0-9]{1,3}){1,3}"
    rb"|development|production|staging|testing|test|local|localhost|dev|prod|trace|debug|info|warn|warning|error"
    rb"|postgres|postgresql|mysql|mariadb|sqlite|redis|mongodb|memory|node-modules|pnp|utf-?8|UTC"
    rb"|https?://[a-z][a-z.-]{0,60}(?::[0-9]{2,5})?(?:/[a-z.-]{1,20}){0,3}/?|(?:\.{1,2}/)[A-Za-z_./-]{0,60}",
    re.IGNORECASE,
)
_SECRET = re.compile(
    rb"pass|pw|psw|phrase|kennwort|secret|token|key|cred|auth|login|cookie|session|salt|pin|otp|hook|dsn|cert",
    re.IGNORECASE,
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
    return found is not None and _has_no_value(found.group(1), found.group(2).strip())


def _has_no_value(name: bytes, value: bytes) -> bool:
    """Return whether what a setting has could be no secret."""
    quote = value[:1] if value[:1] in (b'"', b"'") and len(value) > 1 and value[-1:] == value[:1] else b""
    value = value[1:-1] if quote else value
    if not value:
        return bool(quote) or _is_name(name)
    if _VARIABLE.fullmatch(value) and quote != b"'":
        return True
    if _SECRET.search(name):
        return _ASKS_FOR.fullmatch(value) is not None
    return any(kind.fullmatch(value) for kind in (_PLACE_HOLDER, _HARMLESS))


def _is_name(text: bytes) -> bool:
    """Return whether this is what a setting may be called, and no random text that ends in `=`."""
    digits, small, large = (re.search(kind, text) for kind in (rb"[0-9]", rb"[a-z]", rb"[A-Z]"))
    if len(text) > _LONGEST_NAME or (digits and small and large):
        return False
    return all(map(_PART.fullmatch, re.split(rb"[@_.:/-]+", text)))


def _is_comment(line: bytes) -> bool:
    """Return whether this is a comment of words; each is looked at by itself, so that no line takes long."""
    mark = _COMMENT.match(line)
    return mark is not None and all(map(_WORD.fullmatch, line[mark.end() :].split()))
