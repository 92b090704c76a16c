"""Teach an assistant a site, watch the pages come in, and ask: with only the standard library.

python3 examples/train_site.py [address] [question] [free|starter|pro|enterprise]

By default the demo bookshop is learnt, with its guide in three languages.
"""

import json
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

run = json.loads((Path(__file__).parent.parent / ".noren" / "run.json").read_text())
given = dict(enumerate(sys.argv))
address = given.get(1, run["demo_page_url"])
question = given.get(2, "図書券はいつまで使えますか？")
user = next(user for user in run["users"] if user["plan"] == given.get(3, "starter"))


def call(url: str, body: Any = None, **headers: str) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"} | headers)
    try:
        return json.load(urllib.request.urlopen(request))
    except urllib.error.HTTPError as error:
        sys.exit(f"{error.code}: {json.load(error)['detail']}")


signed_in = call(
    run["aws_endpoint_url"],
    {
        "AuthFlow": "USER_PASSWORD_AUTH",
        "ClientId": run["client_id"],
        "AuthParameters": {"USERNAME": user["email"], "PASSWORD": user["password"]},
    },
    **{"x-amz-target": "AWSCognitoIdentityProviderService.InitiateAuth", "content-type": "application/x-amz-json-1.1"},
)
bearer = {"authorization": f"Bearer {signed_in['AuthenticationResult']['AccessToken']}"}
platform, inference = run["platform_url"] + "/api/v1", run["inference_url"] + "/api/v1"
site_id = call(f"{platform}/me", **bearer)["tenant"]["default_site_id"]

quote = call(f"{platform}/train/estimate", {"site_id": site_id, "url": address}, **bearer)
print(f"quote: {quote['pages']} pages, {quote['tokens']} tokens, {quote['cost_local']} {quote['currency']}")

job = call(f"{platform}/train/url", {"site_id": site_id, "url": address}, **bearer)
while job["status"] in ("queued", "running", "publishing"):
    time.sleep(2)
    job = call(f"{platform}/train/jobs/{job['job_id']}", **bearer)
    print(f"{job['status']}: {job['changed']} new or changed, {job['unchanged']} unchanged, {job['left']} to do")

time.sleep(30)  # chats follow within that
answer = call(f"{inference}/chat", {"site_id": site_id, "message": question}, **bearer)
print(answer["answer"])
for source in answer["sources"]:
    print(f"  {source['title']}: {source['url']} ({source['score']})")
