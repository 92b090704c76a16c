"""Sign-in with the Secure Remote Password protocol as Cognito speaks it: what a real stage's client allows to scripts.

The group is RFC 5054's of 3,072 bits with generator 2 (Cognito's choice); hash SHA-256; the session key is 16 bytes of
HKDF with the info `Caldera Derived Key`. Numbers are padded to whole bytes, with a zero before a set high bit.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from noren.cli.output import CliError

if TYPE_CHECKING:
    from mypy_boto3_cognito_idp import CognitoIdentityProviderClient

N = int(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD"
    "EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED"
    "EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F"
    "83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B"
    "E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF6955817183995497CEA956AE515D2261898FA0510"
    "15728E5A8AAAC42DAD33170D04507A33A85521ABDF1CBA64ECFB850458DBEF0A8AEA71575D060C7DB3970F85A6E1E4C7"
    "ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864D87602733EC86A64521F2B18177B200C"
    "BBE117577A615D6C770988C0BAD946E208E24FA074E5AB3143DB5BFCE0FD108E4B82D120A93AD2CAFFFFFFFFFFFFFFFF",
    16,
)
G = 2


def sign_in(
    cognito: CognitoIdentityProviderClient, pool_id: str, client_id: str, username: str, password: str
) -> dict[str, str]:
    """Cognito's tokens: `AccessToken`, `IdToken`, `RefreshToken`.

    Raises CliError where more than a password is asked for, botocore's ClientError where it is wrong.
    """
    private = secrets.randbelow(N - 2) + 1
    public = pow(G, private, N)
    asked = cognito.initiate_auth(
        AuthFlow="USER_SRP_AUTH",
        ClientId=client_id,
        AuthParameters={"USERNAME": username, "SRP_A": format(public, "x")},
    )
    given = asked.get("ChallengeParameters", {})
    if asked.get("ChallengeName") != "PASSWORD_VERIFIER":
        raise CliError(f"Cognito asks for {asked.get('ChallengeName')} instead of a password.")
    pool, user = pool_id.split("_", 1)[1], given["USER_ID_FOR_SRP"]
    key = _session_key(private, public, given, f"{pool}{user}:{password}")
    now = datetime.now(UTC)
    timestamp = f"{now:%a %b} {now.day} {now:%H:%M:%S} UTC {now.year}"
    claim = f"{pool}{user}".encode() + base64.b64decode(given["SECRET_BLOCK"]) + timestamp.encode()
    answer = cognito.respond_to_auth_challenge(
        ClientId=client_id,
        ChallengeName="PASSWORD_VERIFIER",
        ChallengeResponses={
            "USERNAME": user,
            "TIMESTAMP": timestamp,
            "PASSWORD_CLAIM_SECRET_BLOCK": given["SECRET_BLOCK"],
            "PASSWORD_CLAIM_SIGNATURE": base64.b64encode(hmac.digest(key, claim, "sha256")).decode(),
        },
    )
    result = answer.get("AuthenticationResult")
    if not result:
        raise CliError(f"Cognito asks for {answer.get('ChallengeName')} after the password.")
    return {name: str(result[name]) for name in ("AccessToken", "IdToken", "RefreshToken")}


def _session_key(private: int, public: int, given: dict[str, str], secret: str) -> bytes:
    """16 bytes that both sides know; the other side's only if the password is right."""
    theirs = int(given["SRP_B"], 16)
    if theirs % N == 0:
        raise CliError("Cognito's answer to the sign-in can't be right.")
    mix = _hash(_padded(public), _padded(theirs))
    exponent = _hash(_padded(int(given["SALT"], 16)), hashlib.sha256(secret.encode()).digest())
    multiplier = _hash(_padded(N), _padded(G))
    shared = pow((theirs - multiplier * pow(G, exponent, N)) % N, private + mix * exponent, N)
    extracted = hmac.digest(_padded(mix), _padded(shared), "sha256")
    return hmac.digest(extracted, b"Caldera Derived Key\x01", "sha256")[:16]


def _padded(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1, "big")


def _hash(*parts: bytes) -> int:
    return int.from_bytes(hashlib.sha256(b"".join(parts)).digest(), "big")
