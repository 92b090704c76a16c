"""Between API Gateway's proxy events and the edge's requests and responses."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from noren.edge.http import Request, Response
from noren.edge.trace import trace_id_of


def to_request(event: Mapping[str, Any]) -> Request:
    """A REST API proxy event as a request. Repeated headers are joined (a second credential then fits no pattern)."""
    many = event.get("multiValueHeaders") or {name: [value] for name, value in (event.get("headers") or {}).items()}
    headers = {name.lower(): ", ".join(values) for name, values in many.items()}
    body = event.get("body") or ""
    return Request(
        method=event["httpMethod"],
        path=event["path"],
        headers=headers,
        query=event.get("queryStringParameters") or {},
        body=base64.b64decode(body) if event.get("isBase64Encoded") else body.encode("utf-8", "surrogatepass"),
        source_ip=((event.get("requestContext") or {}).get("identity") or {}).get("sourceIp") or "",
        trace_id=trace_id_of(headers),
    )


def to_event(response: Response) -> dict[str, Any]:
    """A rendered response as the proxy integration's answer."""
    return {
        "statusCode": response.status,
        "headers": dict(response.headers),
        "body": response.body.decode("utf-8"),
        "isBase64Encoded": False,
    }
