"""What both HTTP edges (platform Lambda, inference ASGI app) share: requests, callers, routes, responses.

One `Route` table per API: it is dispatched, made into the OpenAPI document, and walked by the security tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from noren.edge.strict_json import MAX_BODY
from noren.ids import TenantId
from noren.limits import RateName
from noren.tenants.models import Role, Scope

if TYPE_CHECKING:
    from pydantic import BaseModel

    from noren.wiring import Services

SITE_KEY = "site_key"
"""The parameter of the URL that says which site's page calls; in the URL, since a preflight shows nothing else."""

CallerKind = Literal["member", "api_key", "visitor", "anonymous", "user", "public"]


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request, free of its transport. Header names are lower case; `body` is raw."""

    method: str
    path: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    source_ip: str
    trace_id: str


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, as resolved from a verified credential and the tables.

    `member`: a signed-in person acting in a tenant. `user`: a signed-in person before a tenant is chosen or made.
    `api_key`: a server. `visitor`: a browser on a page that carries a site's widget. `anonymous`: a device on the
    operator's own page (tenant = the platform's). `public`: nobody.
    """

    kind: CallerKind
    tenant_id: TenantId | None = None
    user_id: str = ""
    email: str = ""
    role: Role | None = None
    scopes: frozenset[Scope] = frozenset()
    key_id: str = ""
    device: str = ""
    site_id: str = ""
    """The one site that a `visitor` may ask."""
    origin: str = ""
    """The origin that a `visitor`'s token was given to; "" for a server's."""
    is_platform_admin: bool = False

    @property
    def principal(self) -> str:
        """Who, in one word, for records and session ownership: `user:<sub>`, `key:<id>`, `anonymous:<device>`."""
        match self.kind:
            case "member" | "user":
                return f"user:{self.user_id}"
            case "api_key":
                return f"key:{self.key_id}"
            case "public":
                return "public"
        return f"{self.kind}:{self.device}"


@dataclass(frozen=True, slots=True)
class Access:
    """Who may use a route. A caller passes if any of the allowed kinds fits."""

    public: bool = False
    user: bool = False
    """Any signed-in person, with or without a tenant."""
    role: Role | None = None
    """Members with at least this role."""
    scope: Scope | None = None
    """API keys with this scope."""
    anonymous: bool = False
    visitor: bool = False
    """Visitors of a site, by its widget: browsers let the pages that the site allows read the answer."""
    platform_admin: bool = False


@dataclass(frozen=True, slots=True)
class Response:
    """An answer: a model, something that JSON can hold, or bytes."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """What a handler gets: everything parsed, vetted and authorised."""

    services: Services
    request: Request
    caller: Caller
    params: Mapping[str, str]
    body: Any = None
    query: Any = None

    @property
    def tenant_id(self) -> TenantId:
        """The caller's tenant; routes that need one let nobody else in."""
        assert self.caller.tenant_id is not None
        return self.caller.tenant_id


@dataclass(frozen=True, slots=True)
class Route:
    """One row of an API's table."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    """`/api/v1/members/{user_id}`."""
    handler: Callable[[Call], Any]
    """Returns a model, JSON-able data or a Response. Parses nothing, decides nothing: one call to a service."""
    access: Access
    summary: str
    answer: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    status: int = 200
    idempotent: bool = False
    """A POST that spends or creates: honours `Idempotency-Key`."""
    aliases: tuple[str, ...] = ()
    openai: bool = False
    """Errors go out in OpenAI's envelope."""
    streams: bool = False
    """Handled by the inference app's streaming path."""
    replay: Callable[[Any], Any] | None = None
    """What a replay of the first answer leaves out (a secret shown once)."""
    before: Callable[[Call], Any] | None = None
    """The view of what the call is about to change, for the audit trail; the answer is what it has become."""
    media: str = ""
    """The type of an answer that is no JSON."""
    csv: bool = False
    """Also answers CSV, with `format=csv` or `Accept: text/csv`."""
    max_body: int = MAX_BODY
    """Bytes that the body may have."""
    rate: RateName | None = None
    """The rate of `noren.limits` that the tenant's calls count against, besides its plan's."""
    visitor_answer: type[BaseModel] | None = None
    """What visitors get instead of `answer`, where they get less."""
