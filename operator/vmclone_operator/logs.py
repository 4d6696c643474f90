"""Structured logs: one JSON object a line, ids and reasons only; specs and Secrets are never logged."""

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
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": printable(record.getMessage()),
        }
        line |= {
            k: printable(str(v)) for k, v in record.__dict__.items() if k not in _STANDARD and not k.startswith("_")
        }
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, Exception) and is_api_answer(error):
            line["error"] = printable(str(error))  # where in kopf it was met helps nobody
        elif record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def is_api_answer(error: Exception) -> bool:
    """Return whether an error is what the API server answered kopf, whose kinds of errors are not exported."""
    return type(error).__module__.startswith("kopf._cogs.clients.")


def configure_logs(level: str) -> None:
    """Send all logs to standard error, as JSON lines."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # kopf logs a line per event and handler at INFO; ours say what matters.
    logging.getLogger("kopf").setLevel(logging.WARNING)
