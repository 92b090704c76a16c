"""`noren worker deploy`: creates or updates the RunPod templates and endpoints of `workers/runpod/endpoints.toml`.

Running it again changes only what differs: what is there is found by its name.
"""

from __future__ import annotations

import json
import tomllib
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

BASE_URL = "https://rest.runpod.io/v1"
FLASH_BOOT_SUFFIX = " -fb"
"""RunPod appends it to the name of an endpoint with flash boot."""
SECONDS = 30

Change = Literal["created", "updated", "unchanged"]


class DeployError(Exception):
    """RunPod refused or did not answer. The text says which call and why; it holds no key."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint as it shall be. Times in seconds."""

    name: str
    model: str
    max_model_len: int
    gpus: tuple[str, ...]
    workers_max: int
    gpu_count: int = 1
    workers_min: int = 0
    idle_timeout: int = 30
    flash_boot: bool = True
    scaler: str = "QUEUE_DELAY"
    scaler_value: int = 2
    execution_timeout: int = 120
    disk_gb: int = 40
    concurrency: int = 16
    vllm_args: str = ""
    gated: bool = False
    """The model's download wants a Hugging Face token: RunPod's secret `hf_token`."""

    def template(self, name: str, image: str) -> dict[str, Any]:
        """The template's body in RunPod's API."""
        env = {"VLLM_MODEL": self.model, "MAX_MODEL_LEN": str(self.max_model_len), "VLLM_ARGS": self.vllm_args}
        env |= {"WORKER_CONCURRENCY": str(self.concurrency)}
        if self.gated:
            env["HF_TOKEN"] = "{{ RUNPOD_SECRET_hf_token }}"  # filled in by RunPod
        return {"name": name, "imageName": image, "containerDiskInGb": self.disk_gb, "volumeInGb": 0, "env": env}

    def endpoint(self, name: str, template_id: str) -> dict[str, Any]:
        """The endpoint's body in RunPod's API."""
        return {
            "name": name,
            "templateId": template_id,
            "gpuTypeIds": list(self.gpus),
            "gpuCount": self.gpu_count,
            "workersMin": self.workers_min,
            "workersMax": self.workers_max,
            "idleTimeout": self.idle_timeout,
            "flashboot": self.flash_boot,
            "scalerType": self.scaler,
            "scalerValue": self.scaler_value,
            "executionTimeoutMs": self.execution_timeout * 1000,
        }


@dataclass(frozen=True, slots=True)
class Deployed:
    """What became of one endpoint. `endpoint_id` is "" where a dry run would create it."""

    policy: str
    name: str
    endpoint_id: str
    template: Change
    endpoint: Change


def load(path: Path) -> dict[str, Endpoint]:
    """The endpoints of a configuration file, by policy id. Raises ValueError for unknown or missing settings."""
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    defaults = document.get("defaults", {})
    known = {field.name for field in fields(Endpoint)}
    endpoints = {}
    for name, own in document.get("endpoints", {}).items():
        given = {**defaults, **own}
        if unknown := sorted(set(given) - known):
            raise ValueError(f"{path.name}: {name} has unknown settings: {', '.join(unknown)}")
        try:
            endpoints[name] = Endpoint(name=name, **{**given, "gpus": tuple(given.get("gpus", ()))})
        except TypeError as error:
            raise ValueError(f"{path.name}: {name} lacks a setting: {error}") from None
    if not endpoints:
        raise ValueError(f"{path.name} names no endpoints")
    return endpoints


def deploy(
    api_key: str,
    config: Mapping[str, Endpoint],
    *,
    stage: str,
    image: str,
    base_url: str = BASE_URL,
    dry_run: bool = False,
) -> list[Deployed]:
    """Bring RunPod to what `config` says; with `dry_run` only tell what would change. Raises DeployError."""
    api = _Api(base_url.rstrip("/"), api_key, dry_run)
    templates = _by_name(api.get("/templates?includeEndpointBoundTemplates=true"))
    endpoints = _by_name(api.get("/endpoints"))
    done = []
    for policy, wanted in config.items():
        name = f"noren-{stage}-{policy}"
        body = wanted.template(name, image)
        template_id, template = api.put("/templates", templates.get(name), body, {"isServerless": True})
        endpoint_id, endpoint = api.put("/endpoints", endpoints.get(name), wanted.endpoint(name, template_id), {})
        done.append(Deployed(policy, name, endpoint_id, template, endpoint))
    return done


def _by_name(listed: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(listed, list):
        raise DeployError("RunPod's list has an unknown form")
    return {str(each.get("name", "")).removesuffix(FLASH_BOOT_SUFFIX): each for each in listed}


def _differs(have: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What has to be sent. `flashboot` is not told back but by the name's suffix."""
    changed = {}
    for name, value in wanted.items():
        if name == "name":
            continue
        current = have.get(name)
        if name == "flashboot" and current is None:
            current = str(have.get("name", "")).endswith(FLASH_BOOT_SUFFIX)
        if current != value:
            changed[name] = value
    return changed


class _Api:
    def __init__(self, base_url: str, api_key: str, dry_run: bool) -> None:
        self._base_url, self._api_key, self._dry_run = base_url, api_key, dry_run

    def get(self, path: str) -> Any:
        return self._call("GET", path)

    def put(
        self, path: str, have: dict[str, Any] | None, wanted: dict[str, Any], only_new: dict[str, Any]
    ) -> tuple[str, Change]:
        """Create what is missing, update what differs: (id, what happened)."""
        if have is None:
            made = {} if self._dry_run else self._call("POST", path, {**wanted, **only_new})
            return str(made.get("id", "")), "created"
        changed = _differs(have, wanted)
        if changed and not self._dry_run:
            self._call("PATCH", f"{path}/{have['id']}", changed)
        return str(have["id"]), "updated" if changed else "unchanged"

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        if not self._base_url.startswith(("https://", "http://127.0.0.1:")):
            raise DeployError("RunPod's URL must be https")
        request = urllib.request.Request(  # noqa: S310 (checked above)
            self._base_url + path,
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"authorization": f"Bearer {self._api_key}", "content-type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                why = error.read(500).decode(errors="replace").replace(self._api_key, "…")
            raise DeployError(f"RunPod answered {error.code} to {method} {path.split('?')[0]}: {why}") from None
        except (urllib.error.URLError, OSError, ValueError) as error:
            raise DeployError(f"{method} {path.split('?')[0]} failed: {error}") from error
