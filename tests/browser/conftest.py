"""The page's own tests: the real front door and hosted login, stand-in APIs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from local.emulator import REGION, free_port
from tests.browser.fixtures import browser, page
from tests.browser.standin import Api, front

__all__ = ["browser", "page"]

EMAIL, PASSWORD = "mei@example.com", "Correct-Horse-7"


@dataclass
class World:
    """What a page test has: the APIs to script and what `.noren/run.json` would say."""

    api: Api
    run: dict[str, Any]
    url: str


@pytest.fixture(scope="session")
def login(ministack: str) -> tuple[str, str, int]:
    """A user pool with one user behind the emulator's hosted login: pool id, client id, the page's port."""
    port = free_port()
    cognito = boto3.client(
        "cognito-idp",
        endpoint_url=ministack,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    pool = cognito.create_user_pool(PoolName="page", UsernameAttributes=["email"], AutoVerifiedAttributes=["email"])
    pool_id = pool["UserPool"]["Id"]
    client = cognito.create_user_pool_client(
        UserPoolId=pool_id,
        ClientName="page",
        GenerateSecret=False,
        AllowedOAuthFlowsUserPoolClient=True,
        AllowedOAuthFlows=["code"],
        AllowedOAuthScopes=["openid", "email", "profile"],
        SupportedIdentityProviders=["COGNITO"],
        CallbackURLs=[f"http://127.0.0.1:{port}/"],
        LogoutURLs=[f"http://127.0.0.1:{port}/"],
    )
    cognito.admin_create_user(
        UserPoolId=pool_id,
        Username=EMAIL,
        UserAttributes=[{"Name": "email", "Value": EMAIL}, {"Name": "email_verified", "Value": "true"}],
        MessageAction="SUPPRESS",
    )
    cognito.admin_set_user_password(UserPoolId=pool_id, Username=EMAIL, Password=PASSWORD, Permanent=True)
    return pool_id, client["UserPoolClient"]["ClientId"], port


@pytest.fixture
def world(ministack: str, login: tuple[str, str, int]) -> Iterator[World]:
    """The page behind its front door, with fresh stand-in APIs."""
    pool_id, client_id, port = login
    api = Api()
    with front(api, ministack, port, pool_id, client_id) as url:
        users = [{"email": EMAIL, "password": PASSWORD, "plan": "free", "tenant_id": "ten_1"}]
        yield World(api, {"console_url": url, "users": users}, url)
        api.released.set()
        api.cancelled.set()
