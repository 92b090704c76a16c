"""What may go wrong with somebody else's URL."""

from __future__ import annotations

from typing import Literal, TypeGuard

from noren.errors import Unprocessable

Reason = Literal[
    "invalid_url",
    "blocked_scheme",
    "blocked_port",
    "blocked_address",
    "blocked_redirect",
    "too_many_redirects",
    "unreachable",
    "tls_failed",
    "timed_out",
    "too_large",
    "bad_response",
]

_ADVICE: dict[Reason, str] = {
    "invalid_url": "This is no plain URL. Write it as https://shop.example.jp/page, without a user name or password.",
    "blocked_scheme": "Only https:// addresses are called (http:// only for pages).",
    "blocked_port": "Only the ports 80, 443, 8080 and 8443 are called.",
    "blocked_redirect": "It redirects from https:// to http://, which is not followed.",
    "too_many_redirects": "It redirects too often.",
    "unreachable": "It can't be reached from the internet. Check the host name and that a server answers there.",
    "tls_failed": "Its TLS certificate is not valid for this host name.",
    "timed_out": "It did not answer in time.",
    "too_large": "It answers with more than is read.",
    "bad_response": "It answers with something that is no proper HTTP.",
}


def is_reason(text: str) -> TypeGuard[Reason]:
    """Whether a text names a reason."""
    return text in _ADVICE or text == "blocked_address"


class FetchFailed(Unprocessable):
    """A fetch that was refused or failed. `reason` is for our own log; `code` and `detail` are for whoever asked.

    An address that may not be called looks like one where nobody answers: who asks must not learn from us which
    private addresses a name has, or that there are any.
    """

    def __init__(self, reason: Reason) -> None:
        shown: Reason = "unreachable" if reason == "blocked_address" else reason
        super().__init__(_ADVICE[shown], code=shown)
        self.reason = reason
