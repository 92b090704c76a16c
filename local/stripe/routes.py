"""One operation of the API: method, path, what does it, and the SDK's type of its parameters."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from stripe import params as sdk

Handler = Callable[..., dict[str, Any]]
"""`(world, given, **path) -> object`."""


@dataclass(frozen=True)
class Route:
    """`params` is a dotted name below `stripe.params`."""

    method: str
    path: str
    handler: Handler
    params: str
    pattern: re.Pattern[str] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path)
        object.__setattr__(self, "pattern", re.compile(pattern))

    @cached_property
    def type(self) -> type:
        """The TypedDict."""
        found: Any = sdk
        *modules, name = self.params.split(".")
        for module in modules:
            found = getattr(found, module)
        taken: type = getattr(found, name)
        return taken
