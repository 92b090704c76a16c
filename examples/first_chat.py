"""Sign in with Cognito, ask who we are, chat: what a front end does, with only the standard library.

python3 examples/first_chat.py [free|starter|pro|enterprise] [question]
"""

import json
import sys
import urllib.request
from pathlib import Path

run = json.loads((Path(__file__).parent.parent / ".noren" / "run.json").read_text())
plan = sys.argv[1] if len(sys.argv) > 1 else "free"
question = sys.argv[2] if len(sys.argv) > 2 else "営業時間を教えてください。"
user = next(user for user in run["users"] if user["plan"] == plan)


def post(url: str, body: dict, **headers: str) -> urllib.request.Request:
    return urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"} | headers)


sign_in = post(
    run["aws_endpoint_url"],
    {
        "AuthFlow": "USER_PASSWORD_AUTH",
        "ClientId": run["client_id"],
        "AuthParameters": {"USERNAME": user["email"], "PASSWORD": user["password"]},
    },
    **{"x-amz-target": "AWSCognitoIdentityProviderService.InitiateAuth", "content-type": "application/x-amz-json-1.1"},
)
token = json.load(urllib.request.urlopen(sign_in))["AuthenticationResult"]["AccessToken"]
bearer = {"authorization": f"Bearer {token}"}

me = json.load(urllib.request.urlopen(urllib.request.Request(run["platform_url"] + "/api/v1/me", headers=bearer)))
tenant, chats = me["tenant"], me["remaining"]["chats"]
print(f"{tenant['name']}, plan {tenant['plan']}: {chats['used']} of {chats['limit']} chats used")

with urllib.request.urlopen(post(run["inference_url"] + "/api/v1/chat", {"message": question}, **bearer)) as response:
    answer = json.load(response)
print(answer["answer"])
tokens = answer["tokens_consumed"]
print(f"{answer['provider']}/{answer['model_used']}, {tokens['output']} tokens out, {answer['cost_usd']} USD")
