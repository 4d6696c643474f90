"""What the API server says when it refuses a request, sorted into reasons, each with what to do. Pure.

The server has one status (403 Forbidden) for quotas, policies, LimitRanges and missing rights alike, so its sentence
is what tells them apart; a sentence that is not known is still told, as RequestRefused.
"""

from __future__ import annotations

from vmclone_operator.domain.conditions import printable
from vmclone_operator.domain.errors import (
    AdmissionDenied,
    NamespaceTerminating,
    QuotaExceeded,
    RequestRefused,
    RightsMissing,
)

SENTENCE_LIMIT = 600
"""How many characters of the server's sentence are told: the rest of a message is what to do."""

_SORTED: tuple[tuple[tuple[str, ...], type[RequestRefused], str], ...] = (
    (
        ("exceeded quota", "status unknown for quota", "failed quota"),
        QuotaExceeded,
        "remove what is not needed, or ask the platform team to raise the ResourceQuota of the namespace",
    ),
    (
        ("because it is being terminated",),
        NamespaceTerminating,
        "the namespace is being deleted; apply the VMClone in another one, or once it is made again",
    ),
    (
        ("denied request", "denied the request"),
        AdmissionDenied,
        "ask whoever owns that policy or webhook to let objects of the vmclone operator pass",
    ),
    (
        ("usage per ", "limit to request ratio per "),
        AdmissionDenied,
        "change the LimitRange of the namespace, or the resources that the operator was installed with",
    ),
    (
        ("violates podsecurity",),
        AdmissionDenied,
        "change the Pod Security level of the namespace, or the settings that the sentence names",
    ),
    (
        ('" cannot ',),
        RightsMissing,
        "the platform team upgrades the operator with its roles, or grants what is named",
    ),
)
_ELSE = "change what the sentence names; it is tried again every minute"


def sorted_refusal(sentence: str) -> RequestRefused:
    """Return the refusal in words of the user: reason, the API server's own sentence (escaped, capped), what to do."""
    folded = sentence.lower()
    for marks, kind, remedy in _SORTED:
        if any(mark in folded for mark in marks):
            return kind(f"the API server refuses: {printable(sentence, SENTENCE_LIMIT)}; {remedy}")
    return RequestRefused(f"the API server refuses: {printable(sentence, SENTENCE_LIMIT)}; {_ELSE}")
