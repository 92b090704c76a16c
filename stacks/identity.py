"""Who may sign in: the Cognito user pool, its login pages, its app client, its triggers."""

from __future__ import annotations

from email.utils import parseaddr
from typing import Any

from aws_cdk import CfnOutput, Duration, RemovalPolicy, Stack
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_wafv2 as wafv2
from constructs import Construct

from config import Stage
from stacks import nag
from stacks.data import DataStack
from stacks.function import PythonFunction
from stacks.local import has


class IdentityStack(Stack):
    """The user pool. Users are data: it is protected like the tables."""

    def __init__(
        self,
        scope: Construct,
        stage: Stage,
        *,
        data: DataStack,
        console_url: str,
        web_acl_arn: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(scope, f"Noren-{stage.name}-Identity", **kwargs)
        triggers = PythonFunction(
            self,
            "cognito_triggers",
            stage=stage,
            timeout=Duration.seconds(5),
            memory=512,
            environment=data.variables(tables=("tenants", "quotas", "credits", "sites")),
        )
        data.grant(triggers, tenants="rw", quotas="rw", credits="rw", sites="rw")
        self.pool = self._pool(stage, triggers.target)
        self.client = self._client(stage, console_url)
        domain = self.pool.add_domain(
            "Login",
            cognito_domain=cognito.CognitoDomainOptions(domain_prefix=f"noren-{stage.name}-{self.account}"),
            managed_login_version=cognito.ManagedLoginVersion.NEWER_MANAGED_LOGIN,
        )
        if has(stage, "managed_login_branding"):
            branding = cognito.CfnManagedLoginBranding(
                self,
                "Branding",
                user_pool_id=self.pool.user_pool_id,
                client_id=self.client.user_pool_client_id,
                use_cognito_provided_values=True,
            )
            branding.node.add_dependency(domain)
        cognito.CfnUserPoolGroup(
            self,
            "PlatformAdmins",
            user_pool_id=self.pool.user_pool_id,
            group_name="platform_admin",
            description="May use /api/v1/admin, with TOTP enrolled",
        )
        if web_acl_arn:
            wafv2.CfnWebACLAssociation(self, "Firewall", resource_arn=self.pool.user_pool_arn, web_acl_arn=web_acl_arn)
        self.functions = [triggers]
        if stage.is_local:
            login, issuer = stage.endpoints.aws_endpoint_url, stage.endpoints.aws_endpoint_url
        else:
            login, issuer = domain.base_url(), f"https://cognito-idp.{stage.region}.amazonaws.com"
        self.login_url = login
        self.jwks_url = f"{issuer}/{self.pool.user_pool_id}/.well-known/jwks.json"
        for name, value in {
            "UserPoolId": self.pool.user_pool_id,
            "ClientId": self.client.user_pool_client_id,
            "LoginUrl": self.login_url,
            "JwksUrl": self.jwks_url,
        }.items():
            CfnOutput(self, name, value=value)

    def variables(self) -> dict[str, str]:
        """What a function needs to verify this pool's tokens."""
        return {
            "USER_POOL_ID": self.pool.user_pool_id,
            "CLIENT_ID": self.client.user_pool_client_id,
            "JWKS_URL": self.jwks_url,
        }

    def grant_look_up(self, made: PythonFunction) -> None:
        """Let a function ask whether a person is enabled, has a second factor, is a platform admin."""
        made.function.add_to_role_policy(
            iam.PolicyStatement(
                actions=["cognito-idp:AdminGetUser", "cognito-idp:AdminListGroupsForUser"],
                resources=[self.pool.user_pool_arn],
            )
        )

    def _pool(self, stage: Stage, triggers: lambda_.IFunction) -> cognito.UserPool:
        pool = cognito.UserPool(
            self,
            "Pool",
            user_pool_name=f"noren-{stage.name}",
            sign_in_aliases=cognito.SignInAliases(email=True),
            sign_in_case_sensitive=False,
            self_sign_up_enabled=True,
            auto_verify=cognito.AutoVerifiedAttrs(email=True),
            keep_original=cognito.KeepOriginalAttrs(email=True),
            standard_attributes=cognito.StandardAttributes(
                email=cognito.StandardAttribute(required=True, mutable=True)
            ),
            password_policy=cognito.PasswordPolicy(
                min_length=10,
                require_lowercase=True,
                require_uppercase=True,
                require_digits=True,
                require_symbols=True,
                temp_password_validity=Duration.days(3),
            ),
            email=_sender(stage),
            account_recovery=cognito.AccountRecovery.EMAIL_ONLY,
            mfa=cognito.Mfa.OPTIONAL,
            mfa_second_factor=cognito.MfaSecondFactor(sms=False, otp=True),
            feature_plan=cognito.FeaturePlan.PLUS if stage.threat_protection else cognito.FeaturePlan.ESSENTIALS,
            standard_threat_protection_mode=(
                cognito.StandardThreatProtectionMode.FULL_FUNCTION if stage.threat_protection else None
            ),
            deletion_protection=stage.retain,
            removal_policy=RemovalPolicy.RETAIN if stage.retain else RemovalPolicy.DESTROY,
        )
        pool.add_trigger(cognito.UserPoolOperation.POST_CONFIRMATION, triggers)
        nag.acknowledge(
            pool,
            {
                "COG2": "MFA is each user's choice; platform authority is refused without TOTP by the function itself",
                "COG3": "Threat protection is priced per user: the stage option `threat_protection` turns it on",
                "COG4": "Tokens and API keys are verified in the function: see design.md, authentication",
                "COG8": "The Plus plan is priced per user: the stage option `threat_protection` turns it on",
            },
        )
        return pool

    def _client(self, stage: Stage, console_url: str) -> cognito.UserPoolClient:
        origin = console_url.rstrip("/")
        return self.pool.add_client(
            "Console",
            generate_secret=False,
            # SRP keeps the password off the wire; scripts against the local run sign in with the password itself.
            auth_flows=cognito.AuthFlow(user_srp=True, user_password=True if stage.is_local else None),
            o_auth=cognito.OAuthSettings(
                flows=cognito.OAuthFlows(authorization_code_grant=True),
                scopes=[
                    cognito.OAuthScope.OPENID,
                    cognito.OAuthScope.EMAIL,
                    cognito.OAuthScope.PROFILE,
                    cognito.OAuthScope.COGNITO_ADMIN,  # lets a person enrol their own TOTP
                ],
                callback_urls=[f"{origin}/", f"{origin}/callback"],
                logout_urls=[f"{origin}/"],
            ),
            supported_identity_providers=[cognito.UserPoolClientIdentityProvider.COGNITO],
            prevent_user_existence_errors=True,
            enable_token_revocation=True,
            access_token_validity=Duration.minutes(60),
            id_token_validity=Duration.minutes(60),
            refresh_token_validity=Duration.days(30),
            write_attributes=cognito.ClientAttributes().with_standard_attributes(
                email=True, fullname=True, locale=True
            ),
        )


def _sender(stage: Stage) -> cognito.UserPoolEmail:
    if not stage.ses_sign_up_mail:
        return cognito.UserPoolEmail.with_cognito()
    name, address = parseaddr(stage.endpoints.mail_from)
    return cognito.UserPoolEmail.with_ses(from_email=address, from_name=name, ses_region=stage.region)
