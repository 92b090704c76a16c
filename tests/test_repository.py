"""What is committed: small, free of machine paths, registry hosts and secrets; hashed locks."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LOCKS = (
    "requirements.txt",
    "layers/deps/requirements.txt",
    "layers/stripe/requirements.txt",
    "local/requirements.txt",
    "local/bootstrap.txt",
    "workers/runpod/requirements.txt",
)


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [ROOT / name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()]


def test_no_large_file() -> None:
    assert not [path.name for path in tracked() if path.stat().st_size > 400_000]


def test_no_path_of_a_machine_and_no_registry_host() -> None:
    machine = re.compile(r"(?<![\w.])/(work|root|home/\w+)/[\w.]+|registry\.npmjs|pypi\.org/simple|files\.pythonhosted")
    bad = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked()
        if path.suffix not in (".png", ".ico", ".woff2") and path != Path(__file__)
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if machine.search(line)
    ]
    assert not bad, "\n".join(bad)


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_are_pinned_and_hashed(lock: str) -> None:
    text = (ROOT / lock).read_text()
    packages = re.findall(r"^[a-z0-9].*$", text, re.MULTILINE)
    assert packages
    assert not [line for line in packages if "==" not in line]
    assert text.count("--hash=sha256:") >= len(packages)


def test_lambda_and_development_agree_on_versions() -> None:
    """The tests must run what is deployed."""

    def pins(lock: str) -> dict[str, str]:
        return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / lock).read_text(), re.MULTILINE))

    development = pins("requirements.txt")
    deployed = pins("layers/deps/requirements.txt") | pins("layers/stripe/requirements.txt")
    assert {name: development.get(name) for name in deployed} == deployed


def test_no_secret_is_committed() -> None:
    """Yelp's detect-secrets over every tracked file; a false alarm is marked `pragma: allowlist secret` in its line."""
    from detect_secrets.core.secrets_collection import SecretsCollection
    from detect_secrets.settings import transient_settings

    plugins = [
        "AWSKeyDetector",
        "PrivateKeyDetector",
        "StripeDetector",
        "TwilioKeyDetector",
        "OpenAIDetector",
        "GitHubTokenDetector",
        "SlackDetector",
        "BasicAuthDetector",
    ]
    found = SecretsCollection()
    with transient_settings({"plugins_used": [{"name": name} for name in plugins]}):
        for path in tracked():
            if path.suffix not in (".png", ".ico", ".json") and not path.name.endswith("requirements.txt"):
                found.scan_file(str(path))
    assert not [f"{name}: {secret.type} in line {secret.line_number}" for name, secret in found]
