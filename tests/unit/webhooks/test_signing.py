"""Standard Webhooks: the specification's vector, and its reference library as the subscriber."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from noren.webhooks import signing

KEY = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
MESSAGE = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')


def test_the_vector_of_the_specification() -> None:
    assert signing.headers(*MESSAGE, [KEY]) == {
        "webhook-id": MESSAGE[0],
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_secrets_look_as_the_specification_wants_them() -> None:
    key = signing.new_secret()
    assert len(key) == 32
    assert signing.shown(key).startswith("whsec_")
    assert base64.b64decode(signing.shown(key).removeprefix("whsec_"), validate=True) == key
    assert signing.new_secret() != key


@given(st.text(max_size=200), st.integers(0, 100_000))
def test_the_reference_library_takes_what_either_secret_signs(body: str, ago: int) -> None:
    old, new, other = (signing.new_secret() for _ in range(3))
    headers = signing.headers("evt_1", int(datetime.now(UTC).timestamp()), body.encode(), [new, old])
    for key in (old, new):
        Webhook(signing.shown(key)).verify(body, headers, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        Webhook(signing.shown(other)).verify(body, headers, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        Webhook(signing.shown(new)).verify(body + " ", headers, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        Webhook(signing.shown(new)).verify(body, headers | {"webhook-id": "evt_2"}, json_parse=False)
