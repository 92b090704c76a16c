"""Demo data of the local run: a tenant on each plan, a platform admin with a second factor, facts to answer from.

People are made in Cognito, plans are given over the product's own HTTP API as an operator would do it. Idempotent:
passwords and the admin's TOTP secret are kept in one file beside the run's state.
"""

from __future__ import annotations

import json
import secrets
import string
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from local import cloud, totp
from noren.settings import Settings
from noren.tenants.models import Tenant
from noren.wiring import Services, build

PLANS = ("free", "starter", "pro", "enterprise")
ADMIN = "admin@noren.example"

FACTS = {
    "free": (
        "Komorebi Books (木漏れ日書店)",
        "Komorebi Books is open from 10:00 to 19:00, closed on Wednesdays.\n"
        "木漏れ日書店の営業時間は10時から19時までで、定休日は水曜日です。\n"
        "The shop is at 2-14-3 Nishi-Ogikubo, Suginami-ku, Tokyo, four minutes on foot from the station.\n"
        "住所は東京都杉並区西荻窪2-14-3、駅から徒歩4分です。\n"
        "Used books are bought every day until 18:00; please bring an identity card.\n"
        "영업시간은 10시부터 19시까지이며 수요일은 휴무입니다.",
    ),
    "starter": (
        "Yunagi Onsen (夕凪温泉)",
        "夕凪温泉の日帰り入浴は大人900円、小学生450円です。\n"
        "日帰り入浴の受付は11時から20時までです。\n"
        "貸切風呂は45分3,300円で、予約は電話でお願いします。\n"
        "Day bathing costs 900 yen for adults and 450 yen for children.\n"
        "Towels can be rented for 200 yen.\n"
        "당일 온천 입욕료는 성인 900엔, 초등학생 450엔입니다.",
    ),
    "pro": (
        "Hanok Stay Seoul",
        "체크인은 15시부터, 체크아웃은 11시까지입니다.\n"
        "조식은 8시부터 10시까지 제공되며 1인 12,000원입니다.\n"
        "Check-in is from 15:00 and check-out is until 11:00.\n"
        "Breakfast is served from 8:00 to 10:00 and costs 12,000 won a person.\n"
        "A stay can be cancelled free of charge until three days before arrival.\n"
        "チェックインは15時から、チェックアウトは11時までです。",
    ),
    "enterprise": (
        "Tsubame Rail Pass (つばめレールパス)",
        "The Tsubame Rail Pass is valid for seven days in a row and costs 29,800 yen.\n"
        "つばめレールパスは連続7日間有効で、料金は29,800円です。\n"
        "Unused passes are refunded at any ticket office within 30 days, less a fee of 550 yen.\n"
        "未使用のパスは30日以内に窓口で払い戻しでき、手数料は550円です。\n"
        "Seat reservations are included and open one month before travel.\n"
        "츠바메 레일패스는 연속 7일간 유효하며 가격은 29,800엔입니다.",
    ),
}
"""For each plan's demo tenant: its name and what its assistant knows, one fact a line."""

WIDGETS: dict[str, dict[str, Any]] = {
    "free": {
        "title": "木漏れ日書店",
        "color_primary": "#2f6b4f",
        "suggested_questions": ["営業時間は？", "Where is the shop?", "영업시간을 알려 주세요"],
    },
    "starter": {
        "title": "夕凪温泉",
        "color_primary": "#b4472f",
        "suggested_questions": ["日帰り入浴の料金は？", "Can I rent a towel?", "당일 입욕료는 얼마인가요?"],
    },
    "pro": {
        "title": "Hanok Stay Seoul",
        "color_primary": "#e8b23a",
        "suggested_questions": ["체크인은 몇 시부터인가요?", "When is breakfast?", "チェックインは何時からですか？"],
    },
    "enterprise": {
        "title": "つばめレールパス",
        "color_primary": "#1f4e79",
        "suggested_questions": ["パスの料金は？", "How long is the rail pass valid?", "패스 가격은 얼마인가요?"],
    },
}
"""How the widget of each plan's demo tenant looks at first."""

VISITOR_FACTS = (
    "Noren is an assistant platform that a business runs in its own AWS account.\n"
    "The free plan includes 100 chats a month and costs nothing.\n"
    "The starter plan costs 7,800 yen a month and includes 2,000 chats.\n"
    "Noren（暖簾）は、事業者が自分のAWSアカウントで動かすAIアシスタント基盤です。\n"
    "無料プランでは月100回までチャットできます。\n"
    "スタータープランの料金は月7,800円で、2,000回までチャットできます。\n"
    "Noren은 기업이 자신의 AWS 계정에서 운영하는 AI 어시스턴트 플랫폼입니다.\n"
    "무료 플랜은 월 100회의 채팅을 포함합니다.\n"
    "스타터 플랜의 요금은 월 7,800엔이며 2,000회의 채팅이 포함됩니다."
)


@dataclass(frozen=True)
class Demo:
    """What `run.json` says of the demo data."""

    admin: dict[str, str]
    users: list[dict[str, str]]
    site: dict[str, Any]


def put_keys(secret_arn: str, keys: dict[str, str]) -> None:
    """Store the model services' or the payment service's keys where the functions read them."""
    boto3.client("secretsmanager").put_secret_value(SecretId=secret_arn, SecretString=json.dumps(keys))


def demo(base: str, outputs: cloud.Outputs, memory: Path, shop: str) -> Demo:
    """Make the demo data through the front door at `base`, or find it. `memory` keeps passwords (mode 600).

    `shop` is the origin of the page that carries the demo tenants' widgets.
    """
    services = build(Settings.from_env(outputs.chat_environment()))
    services.plans.seed()
    services.packages.seed()
    _teach(services, services.tenants.ensure_platform(), VISITOR_FACTS)
    with _People(outputs, memory) as people:
        people.ensure(ADMIN, "Platform admin", group="platform_admin")
        totp_secret = people.enrol_totp(ADMIN)
        users = [_demo_user(base, people, services, plan) for plan in PLANS]
        sites = [_open_to(base, shop, people.sign_in(user["email"]), user) for user in users]
        return Demo(
            admin={"email": ADMIN, "password": people.password(ADMIN), "totp_secret": totp_secret},
            users=users,
            site={name: sites[-1][name] for name in ("site_id", "site_key")} | {"origin": shop},
        )


def _demo_user(base: str, people: _People, services: Services, plan: str) -> dict[str, str]:
    """The person whose personal tenant is on `plan` and knows the plan's facts."""
    email, (name, facts) = f"{plan}@noren.example", FACTS[plan]
    people.ensure(email, plan.title())
    token = people.sign_in(email)
    tenant = call(base, "GET", "/api/v1/me", token=token)["tenant"]
    if tenant["plan"] != plan:
        path = f"/api/v1/admin/tenants/{tenant['tenant_id']}"
        call(base, "PATCH", path, {"plan": plan}, token=people.sign_in(ADMIN))
    if tenant["name"] != name:
        call(base, "PATCH", "/api/v1/tenant", {"name": name}, token=token)
    own = services.tenants.get(tenant["tenant_id"])
    _teach(services, own, facts)
    return {
        "email": email,
        "password": people.password(email),
        "plan": plan,
        "tenant_id": own.tenant_id,
        "site_id": services.sites.default_id(own),
    }


def _open_to(base: str, shop: str, token: str, user: dict[str, str]) -> dict[str, Any]:
    """The person's default site, with the widget on the shop's page."""
    path = f"/api/v1/sites/{user['site_id']}"
    site: dict[str, Any] = call(base, "GET", path, token=token)
    if shop in site["allowed_domains"]:
        return site
    change = {"allowed_domains": [*site["allowed_domains"], shop]}
    first_look = {} if site["allowed_domains"] else {"widget_config": WIDGETS[user["plan"]]}
    changed: dict[str, Any] = call(base, "PATCH", path, change | first_look, token=token)
    return changed


def call(base: str, method: str, path: str, body: Any = None, *, token: str = "") -> Any:
    """One JSON request to the product; raises RuntimeError with its answer when refused."""
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(base + path, method=method, data=data, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as refusal:
        raise RuntimeError(f"{method} {path}: {refusal.code} {refusal.read().decode(errors='replace')}") from refusal


class _People:
    """The demo people in the user pool. As a context manager it writes down what it must remember, also on failure."""

    def __init__(self, outputs: cloud.Outputs, memory: Path) -> None:
        self._outputs = outputs
        self._memory = memory
        self._kept: dict[str, str] = json.loads(memory.read_text()) if memory.exists() else {}
        self._cognito = boto3.client("cognito-idp")
        self._tokens: dict[str, str] = {}

    def __enter__(self) -> _People:
        return self

    def __exit__(self, *_: object) -> None:
        self._memory.touch(mode=0o600)
        self._memory.write_text(json.dumps(self._kept))

    def password(self, email: str) -> str:
        return self._kept[email]

    def ensure(self, email: str, name: str, group: str = "") -> None:
        pool = self._outputs.user_pool_id
        password = self._kept.setdefault(email, _password())
        try:
            self._cognito.admin_create_user(
                UserPoolId=pool,
                Username=email,
                MessageAction="SUPPRESS",
                UserAttributes=[
                    {"Name": "email", "Value": email},
                    {"Name": "email_verified", "Value": "true"},
                    {"Name": "name", "Value": name},
                ],
            )
            if group:  # a new pool: the second factor of the old one is gone too
                self._kept.pop("totp", None)
        except self._cognito.exceptions.UsernameExistsException:
            return
        self._cognito.admin_set_user_password(UserPoolId=pool, Username=email, Password=password, Permanent=True)
        if group:
            self._cognito.admin_add_user_to_group(UserPoolId=pool, Username=email, GroupName=group)

    def sign_in(self, email: str) -> str:
        """An access token."""
        if email not in self._tokens:
            answer = self._cognito.initiate_auth(
                AuthFlow="USER_PASSWORD_AUTH",
                ClientId=self._outputs.client_id,
                AuthParameters={"USERNAME": email, "PASSWORD": self._kept[email]},
            )
            if answer.get("ChallengeName") == "SOFTWARE_TOKEN_MFA":
                answer = self._cognito.respond_to_auth_challenge(
                    ClientId=self._outputs.client_id,
                    ChallengeName="SOFTWARE_TOKEN_MFA",
                    Session=answer["Session"],
                    ChallengeResponses={"USERNAME": email, "SOFTWARE_TOKEN_MFA_CODE": totp.code(self._kept["totp"])},
                )
            self._tokens[email] = answer["AuthenticationResult"]["AccessToken"]
        return self._tokens[email]

    def enrol_totp(self, email: str) -> str:
        """The person's TOTP secret, enrolled now if it was not before."""
        if "totp" in self._kept:
            return self._kept["totp"]
        token = self.sign_in(email)
        secret: str = self._cognito.associate_software_token(AccessToken=token)["SecretCode"]
        self._cognito.verify_software_token(AccessToken=token, UserCode=totp.code(secret))
        self._cognito.set_user_mfa_preference(
            AccessToken=token, SoftwareTokenMfaSettings={"Enabled": True, "PreferredMfa": True}
        )
        del self._tokens[email]
        self._kept["totp"] = secret
        return secret


def _password() -> str:
    letters = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(16))
    return f"Aa1-{letters}"


def _teach(services: Services, tenant: Tenant, facts: str) -> None:
    """Put the tenant's facts into the profile of its default site."""
    site = services.sites.get(tenant.tenant_id, services.sites.default_id(tenant))
    prompts = services.sites.prompts
    profile = prompts.get(tenant.tenant_id, site.prompt_profile)
    if profile.content.facts != facts:
        told = {"facts": facts}
        prompts.save(tenant.tenant_id, profile.profile_id, profile.latest, told, "", "seed", publish=True)
