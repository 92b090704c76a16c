"""The sign-up page that the emulator's hosted login lacks; on AWS the managed login has its own.

There is no mail server, so that the address counts as confirmed at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from urllib.parse import urlencode

from local.mailbox import shell


@dataclass(frozen=True, slots=True)
class Pool:
    """The emulator's user pool."""

    endpoint: str
    region: str
    user_pool_id: str
    client_id: str

    def create(self, email: str, password: str) -> str:
        """Make and confirm an account; "" or what the person should mend."""
        import boto3
        from botocore.exceptions import ClientError, ParamValidationError

        cognito = boto3.client(
            "cognito-idp",
            endpoint_url=self.endpoint,
            region_name=self.region,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        try:
            cognito.sign_up(
                ClientId=self.client_id,
                Username=email,
                Password=password,
                UserAttributes=[{"Name": "email", "Value": email}],
            )
            cognito.admin_confirm_sign_up(UserPoolId=self.user_pool_id, Username=email)
            cognito.admin_update_user_attributes(
                UserPoolId=self.user_pool_id,
                Username=email,
                UserAttributes=[{"Name": "email_verified", "Value": "true"}],
            )
        except ClientError as error:
            return error.response["Error"].get("Message", "The account could not be made.")
        except ParamValidationError:
            return "Fill in an address and a password."
        return ""


def render(query: Mapping[str, str], email: str = "", error: str = "") -> str:
    """The form. `query` is the sign-in request to go on with."""
    again = escape(urlencode(dict(query)))
    alert = f'<p class="notice error" role="alert">{escape(error)}</p>' if error else ""
    return shell(
        "Create account",
        f"""<form class="card narrow" method="post" action="/signup?{again}">
<h1>Create account</h1>{alert}
<label for="email">E-mail</label>
<input id="email" name="email" type="email" autocomplete="username" required autofocus value="{escape(email)}">
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="new-password" required minlength="10"
  aria-describedby="rule">
<p class="muted" id="rule">Ten characters or more, with upper and lower case, a digit and a symbol.</p>
<button class="primary">Create account</button>
<p class="muted">Local run: no confirmation mail is needed.</p></form>""",
    )
