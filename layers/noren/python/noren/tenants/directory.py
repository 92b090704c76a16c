"""People as the user pool knows them: enabled, verified e-mail, second factor, platform group."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from noren.cache import TtlCache
from noren.clock import Clock
from noren.settings import Settings
from noren.tables import error_code

if TYPE_CHECKING:
    from mypy_boto3_cognito_idp import CognitoIdentityProviderClient

CACHE_SECONDS = 30
"""With the caller's own 30 s, a disabled person or a demoted admin is out within 60 s."""
ADMIN_GROUP = "platform_admin"

_log = logging.getLogger("noren.directory")


@dataclass(frozen=True, slots=True)
class Person:
    """What the pool says about a person now. `email` is "" unless it is verified."""

    user_id: str
    enabled: bool
    email: str = ""
    name: str = ""
    totp: bool = False


class Directory:
    """Asks the user pool, at most once in 30 s per person and container."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._pool = settings.user_pool_id
        self._people: TtlCache[str, Person] = TtlCache(CACHE_SECONDS, clock)
        self._admins: TtlCache[str, bool] = TtlCache(CACHE_SECONDS, clock)
        self._client: CognitoIdentityProviderClient | None = None

    def person(self, username: str, user_id: str) -> Person:
        """The person behind a verified token.

        A deleted or disabled one has `enabled` False. When the pool can't be asked (it throttles), what was last known
        holds; of somebody unknown so far the verified token's word stands, without e-mail or second factor.
        """
        try:
            return self._people.get(username, lambda: self._read(username, user_id))
        except Exception as error:
            _log.warning("user pool not asked: %s", error_code(error) or type(error).__name__)
            return self._people.stale(username) or Person(user_id, enabled=True)

    def is_platform_admin(self, username: str, user_id: str) -> bool:
        """Whether the person is in the group now *and* has enrolled a TOTP. False when the pool can't be asked."""
        if not self.person(username, user_id).totp:
            return False
        try:
            return self._admins.get(username, lambda: self._in_group(username))
        except Exception as error:
            _log.warning("user pool not asked: %s", error_code(error) or type(error).__name__)
            return False

    def _read(self, username: str, user_id: str) -> Person:
        try:
            found = self._cognito().admin_get_user(UserPoolId=self._pool, Username=username)
        except Exception as error:
            if error_code(error) == "UserNotFoundException":
                return Person(user_id, enabled=False)
            raise
        given = {each["Name"]: each.get("Value", "") for each in found.get("UserAttributes", [])}
        verified = given.get("email_verified", "").lower() == "true"
        return Person(
            user_id=user_id,
            enabled=bool(found.get("Enabled", True)) and given.get("sub", user_id) == user_id,
            email=given.get("email", "").strip().lower() if verified else "",
            name=given.get("name", ""),
            totp="SOFTWARE_TOKEN_MFA" in found.get("UserMFASettingList", []),
        )

    def _in_group(self, username: str) -> bool:
        groups = self._cognito().admin_list_groups_for_user(UserPoolId=self._pool, Username=username, Limit=60)
        return any(group.get("GroupName") == ADMIN_GROUP for group in groups["Groups"])

    def _cognito(self) -> CognitoIdentityProviderClient:
        if self._client is None:
            import boto3
            from botocore.config import Config

            config = Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 2})
            self._client = boto3.client("cognito-idp", config=config)
        return self._client
