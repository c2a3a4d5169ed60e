"""The process's one log: a JSON object a line, or columns for people; uvicorn's lines as well.

Tracebacks never show the values of variables, which may be a caller's data or a password; what
looks like a key is shown nowhere.
"""

import logging
import logging.handlers
import sys
from pathlib import Path
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from service.access.key_file import LOOKS_LIKE_A_SECRET

AUDIT_LOG = "service.audit"
"""The logger of what is written down of changes."""

LogFormat = Literal["auto", "json", "console"]
LogLevel = Literal["debug", "info", "warning", "error"]


def configure_logs(form: LogFormat, level: LogLevel, audit_file: Path | None = None) -> None:
    """Send everything from `level` on to standard error; auto: JSON unless that is a terminal.

    What is written down of changes goes there whatever the level, and to `audit_file` too. Raises
    `OSError` where that cannot be written.
    """
    logging.captureWarnings(True)
    handler = logging.StreamHandler(sys.stderr)
    as_json = form == "json" or (form == "auto" and not sys.stderr.isatty())
    handler.setFormatter(log_formatter(as_json))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    audit = logging.getLogger(AUDIT_LOG)
    audit.setLevel(logging.INFO)
    if audit_file is not None:
        audit.addHandler(audit_handler(audit_file))


def audit_handler(path: Path) -> logging.Handler:
    """Appends JSON to the file, or begins it again where it was moved away. Raises `OSError`."""
    handler = logging.handlers.WatchedFileHandler(path, encoding="utf-8")
    handler.setFormatter(log_formatter(as_json=True))
    return handler


def log_formatter(as_json: bool) -> logging.Formatter:
    """Formats a record with its `extra` and what `structlog.contextvars` binds."""
    written: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if as_json:
        written += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        plain = structlog.dev.plain_traceback
        written += [structlog.dev.ConsoleRenderer(colors=False, exception_formatter=plain)]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.ExtraAdder(),
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _without_repetition,
            _without_keys,
        ],
        processors=written,
    )


def _without_keys(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    # Some put a key where it does not belong: into a query, which the access log shows.
    for name, said in event.items():
        if isinstance(said, str):
            event[name] = LOOKS_LIKE_A_SECRET.sub("(a key)", said)
    return event


def _without_repetition(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    # uvicorn says its message a second time, in colour, and other handlers leave it on the record.
    for again in ("color_message", "message"):
        event.pop(again, None)
    return event
