"""Errors as Azure Resource Manager writes them: a status, and `{"error": {"code", "message"}}`.

The envelope is that of Azure's REST guidelines (microsoft/api-guidelines azure/Guidelines.md, "Handling errors");
each code names where it was read, beside the rule that uses it.
"""

from __future__ import annotations

from typing import Any


class Refusal(Exception):  # noqa: N818  - named for what happened
    """ARM, or the resource provider behind it, refuses a request."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        target: str = "",
        retry_after: float = 0,
        details: list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status, self.code, self.message = status, code, message
        self.target, self.retry_after, self.details = target, retry_after, details or []

    def error(self) -> dict[str, Any]:
        """Return the inner object, as an operation's status shows it too."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.target:
            error["target"] = self.target
        if self.details:
            error["details"] = self.details
        return error


def not_found(kind: str, name: str, group: str) -> Refusal:
    """Return ARM's own 404 (azure-docs articles/azure-resource-manager/troubleshooting/error-not-found.md)."""
    return Refusal(
        404,
        "ResourceNotFound",
        f"The Resource '{kind}/{name}' under resource group '{group}' was not found. "
        "For more details please go to https://aka.ms/ARMResourceNotFoundFix",
    )


def invalid(message: str, target: str = "") -> Refusal:
    """Return what Microsoft.Compute says of a value that it does not take."""
    return Refusal(400, "InvalidParameter", message, target=target)
