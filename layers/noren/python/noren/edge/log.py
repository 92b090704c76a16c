"""Log lines: one JSON object each, so that nothing a stranger sends can forge a second one."""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from typing import Any

from noren.clock import iso
from noren.edge.http import Caller, Request, Route
from noren.metrics import embedded

_access = logging.getLogger("noren.access")


class JsonFormatter(logging.Formatter):
    """Time, level, logger, message and, of an exception, its type and frames: its text could hold a secret."""

    def __init__(self, stage: str) -> None:
        super().__init__()
        self._stage = stage

    def format(self, record: logging.LogRecord) -> str:
        """One JSON object in one line."""
        at = f"{iso(record.created)[:-1]}.{int(record.msecs):03}Z"
        line: dict[str, Any] = {"at": at, "level": record.levelname, "logger": record.name}
        line["message"] = record.getMessage()
        line |= getattr(record, "fields", {})
        if metrics := getattr(record, "metrics", None):
            line |= embedded(metrics, self._stage, record.created)
        if record.exc_info and record.exc_info[0]:
            line["error"] = record.exc_info[0].__name__
            frames = traceback.extract_tb(record.exc_info[2])
            line["frames"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        return json.dumps(line, ensure_ascii=True, default=str)


def configure(stage: str) -> None:
    """Send all logging to standard output as JSON lines. Called once by each function's main."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter(stage))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for chatty in ("botocore", "urllib3", "openai", "httpx2", "stripe"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def log_call(
    request: Request,
    route: Route | None,
    caller: Caller | None,
    status: int,
    started: float,
    *,
    outcome: str = "",
) -> None:
    """The access line of one call; nothing that was sent with it. `started` is `time.monotonic()` at its beginning.

    What a chat came to (site, model, tokens' latency) stands in the line of its settlement, under the same trace id.
    """
    fields = {
        "trace_id": request.trace_id,
        "method": request.method,
        "route": route.path if route else "",
        "status": status,
        "outcome": outcome or ("ok" if status < 400 else "refused" if status < 500 else "failed"),
        "latency_ms": round((time.monotonic() - started) * 1000),
        "user": caller.principal if caller else "",
        "tenant": (caller.tenant_id or "") if caller else "",
    }
    _access.info("call", extra={"fields": fields})
