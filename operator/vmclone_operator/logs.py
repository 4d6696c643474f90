"""Structured logs: one line a record, ids and reasons only; specs and Secrets are never logged.

A line is a JSON object, or with the format `text` words for a person:

    2026-11-30T10:00:00.123+00:00 WARNING vmclone_operator.main: stopped lease=lost
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from vmclone_operator.domain.conditions import printable

_STANDARD = frozenset(logging.LogRecord("", 0, "", 0, "", None, None).__dict__) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON; extra fields become keys."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return json.dumps(fields_of(record, self))


class TextFormatter(logging.Formatter):
    """Formats a record as one line of text: extra fields follow the message; nothing in it can begin another line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields = fields_of(record, self)
        head = f"{fields.pop('time')} {fields.pop('level')} {fields.pop('logger')}: {fields.pop('message')}"
        return " ".join([head, *(f"{name}={_quoted(value)}" for name, value in fields.items())])


def _quoted(value: str) -> str:
    plain = value and value.isprintable() and not set(value) & set(' ="')
    return value if plain else json.dumps(value)


def fields_of(record: logging.LogRecord, formatter: logging.Formatter) -> dict[str, str]:
    """Return what a line says, in its order: when, how bad, who, what, and the record's own fields."""
    line = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname,
        "logger": record.name,
        "message": printable(record.getMessage()),
    }
    line |= {k: printable(str(v)) for k, v in record.__dict__.items() if k not in _STANDARD and not k.startswith("_")}
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, Exception) and is_api_answer(error):
        line["error"] = printable(str(error))  # where in kopf it was met helps nobody
    elif record.exc_info:
        line["exception"] = formatter.formatException(record.exc_info)
    return line


def is_api_answer(error: Exception) -> bool:
    """Return whether an error is what the API server answered kopf, whose kinds of errors are not exported."""
    return type(error).__module__.startswith("kopf._cogs.clients.")


def configure_logs(level: str, form: str = "json") -> None:
    """Send all logs to standard error, in lines of the format `json` or `text`."""
    handler = logging.StreamHandler()
    handler.setFormatter(TextFormatter() if form == "text" else JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # kopf logs a line per event and handler at INFO; ours say what matters.
    logging.getLogger("kopf").setLevel(logging.WARNING)
