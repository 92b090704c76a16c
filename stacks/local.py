"""What the embedded local cloud can't do, and so what `stage=local` goes without. Nothing else differs there.

Whoever makes one of these asks `has` first. A test compares the synthesized types with the emulator's handlers."""

from __future__ import annotations

from config import Stage

LEFT_OUT = {
    "web": "The front door serves the page; BucketDeployment and auto-deletion can't run",
    "observability": "Alarms would watch nothing",
    "managed_login_branding": "AWS::Cognito::ManagedLoginBranding has no handler; the emulator shows a page of its own",
    "web_acl": "AWS::WAFv2::WebACLAssociation has no handler",
    "code_deploy": "CodeDeploy has no handler; functions are updated at once",
    "web_adapter": "Layers of other accounts can't be fetched; uvicorn runs the chat function's app instead",
    "response_streaming": "A REST API in STREAM mode answers 500; uvicorn streams instead",
    "tls_only": "The emulator listens on loopback over plain HTTP, and with AUTH=true it would refuse everything",
    "s3_vectors": "S3 Vectors has no handler; large sites are served from their files",
    "versions": "Aliases would pin a stale version's warm worker; functions are called as $LATEST",
}


def has(stage: Stage, feature: str) -> bool:
    """Whether a stage has one of the features above. Raises KeyError for one that isn't listed."""
    LEFT_OUT[feature]
    return not stage.is_local
