"""How numbers go out."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import PlainSerializer

from noren.money import plain

PlainDecimal = Annotated[Decimal, PlainSerializer(plain, return_type=str, when_used="json")]
"""A cost, price or rate: a string in JSON, since a binary float never holds money; `0.00006137`, never `6.137E-5`."""
