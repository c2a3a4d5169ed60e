"""The process's one log: a JSON object a line, or columns for people; uvicorn's lines as well.

Tracebacks never show the values of variables, which may be a caller's data or a password.
"""

import logging
import sys
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

LogFormat = Literal["auto", "json", "console"]
LogLevel = Literal["debug", "info", "warning", "error"]


def configure_logs(form: LogFormat, level: LogLevel) -> None:
    """Send everything from `level` on to standard error; auto: JSON unless that is a terminal."""
    logging.captureWarnings(True)
    handler = logging.StreamHandler(sys.stderr)
    as_json = form == "json" or (form == "auto" and not sys.stderr.isatty())
    handler.setFormatter(log_formatter(as_json))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())


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
        ],
        processors=written,
    )


def _without_repetition(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    # uvicorn says its message a second time, in colour, and other handlers leave it on the record.
    for again in ("color_message", "message"):
        event.pop(again, None)
    return event
