"""What Azure refuses, in the words of the contract. Pure: a status, a code and a text in, an error out.

A code decides before a status does: 429 is a throttle and a lock alike, and 409 is a quota and a conflict.
Sources: azure-docs articles/azure-resource-manager/troubleshooting/common-deployment-errors.md for the codes; where an
issue says more, it stands at the code.
"""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus

from vmclone_operator.domain.errors import (
    ActionNeeded,
    BackendUnreachable,
    CapabilityMissing,
    CloneError,
    CloneFailed,
    CredentialsInvalid,
    ImageNotFound,
    InsufficientSpace,
    NotAuthorized,
    QuiesceFailed,
    RetryLater,
)

NIC_RESERVED_SECONDS = 180
"""How long a card is kept for another VM (cloudfoundry/bosh-azure-cpi-release issue 366)."""
THROTTLED_SECONDS = 30
"""Retry-After is when the next one request is taken, and a pass needs several of the 12 reads a minute that a VM has:
one that came back for each would be refused for ever."""
_BUSY_SECONDS = 10
_LOCK = "retryableerrorduetoanotheroperation"
_BUSY = frozenset(
    {
        "anotheroperationinprogress",
        "conflict",
        _LOCK,
        "runcommandalreadyinprogress",
        "subscriptionrequeststhrottled",
        "toomanyrequests",
    }
)
_NEEDED: dict[str, type[ActionNeeded]] = {
    "allocationfailed": InsufficientSpace,
    "imagenotfound": ImageNotFound,
    "overconstrainedallocationrequest": InsufficientSpace,
    "platformimagenotfound": ImageNotFound,
    "quotaexceeded": InsufficientSpace,
    "skunotavailable": CapabilityMissing,
    "vmagentstatuscommunicationerror": QuiesceFailed,
    "zonalallocationfailed": InsufficientSpace,
}
_ADVICE = {
    "allocationfailed": "Azure has no machine of this size there now: wait, or choose another size, zone or region",
    "authorizationfailed": "give the application a role with that action on that scope",
    "linkedauthorizationfailed": "give the application a role with that action on that scope",
    "quotaexceeded": "ask Azure for a higher quota, or choose a size of another family",
    "skunotavailable": "choose a size that this subscription has in the region and zone",
    "vmagentstatuscommunicationerror": "the source's Azure agent does not answer: start it, or use CrashConsistent",
}
_LONGEST = 1024


def refused(status: int, code: str, message: str, retry_after: float = 0) -> CloneError:
    """Return the error for an answer of Azure."""
    word = _word(code, message)
    text = _text(code, message, word)
    wait = timedelta(seconds=retry_after or _BUSY_SECONDS)
    if word == "nicreservedforanothervm":
        return RetryLater(text, retry_after=timedelta(seconds=NIC_RESERVED_SECONDS))
    if status == HTTPStatus.TOO_MANY_REQUESTS and word != _LOCK:
        return RetryLater(text, retry_after=max(wait, timedelta(seconds=THROTTLED_SECONDS)))
    if word in _BUSY:
        return RetryLater(text, retry_after=wait)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return BackendUnreachable(text, retry_after=wait)
    return _needed(status, word)(text)


def _needed(status: int, word: str) -> type[ActionNeeded]:
    """Return what a person must change."""
    if status == HTTPStatus.UNAUTHORIZED:
        return CredentialsInvalid
    if status == HTTPStatus.FORBIDDEN:
        return NotAuthorized
    return _NEEDED.get(word, CloneFailed)


def _word(code: str, message: str) -> str:
    """Return a code as it is compared; a quota comes as OperationNotAllowed and shows only in the text."""
    word = code.lower()
    if word == "operationnotallowed" and "quota" in message.lower():
        return "quotaexceeded"
    return word


def _text(code: str, message: str, word: str) -> str:
    plain = " ".join(message.split())[:_LONGEST]
    advice = f": {_ADVICE[word]}" if word in _ADVICE else ""
    return f"Azure says {code or 'nothing'}: {plain}{advice}"
