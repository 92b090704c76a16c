"""What the embedded local cloud can't do, and so what `stage=local` goes without. Nothing else differs there.

Left out by `app.build`: the web stack (the front door serves the page) and the observability stack, whose alarms would
watch nothing. Left out inside other stacks, by asking `has`:
"""

from __future__ import annotations

from config import Stage

LEFT_OUT = {
    "managed_login_branding": "AWS::Cognito::ManagedLoginBranding has no handler; the emulator's own login page is shown",
    "web_acl": "AWS::WAFv2::WebACLAssociation has no handler",
    "code_deploy": "CodeDeploy has no handler; functions are updated at once",
    "web_adapter": "Layers of other accounts can't be fetched; uvicorn runs the chat function's app instead",
    "response_streaming": "A REST API in STREAM mode answers 500; uvicorn streams instead",
    "versions": "Aliases would pin a stale version's warm worker; functions are called as $LATEST",
}


def has(stage: Stage, feature: str) -> bool:
    """Whether a stage has one of the features above. Raises KeyError for one that isn't listed."""
    LEFT_OUT[feature]
    return not stage.is_local
