"""The vectors of RFC 6238, appendix B (SHA-1, cut to six digits)."""

import base64

import pytest

from local import totp

SECRET = base64.b32encode(b"12345678901234567890").decode()


@pytest.mark.parametrize(
    ("now", "digits"), [(59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (20000000000, "353130")]
)
def test_rfc_vectors(now: int, digits: str) -> None:
    assert totp.code(SECRET, now) == digits
