"""RunPod Serverless on this machine: a control plane that the real `runpod` worker SDK connects to."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from local.emulator import HOME, ROOT
from local.process import launch

API_KEY = "local-runpod-key"
WORKER = ROOT / "workers" / "runpod" / "handler.py"


def start(port: int, endpoints: Sequence[str], *, log: Path, api_key: str = API_KEY) -> subprocess.Popen[bytes]:
    """Start the control plane on 127.0.0.1 and return when it answers."""
    arguments = ["-m", "local.runpod", "--port", str(port), *endpoints]
    return launch(arguments, log=log, ready=f"http://127.0.0.1:{port}/_stats", env={"LOCAL_RUNPOD_KEY": api_key})


def start_worker(
    url: str, endpoint: str, vllm_base_url: str, *, log: Path, worker_id: str = "", api_key: str = API_KEY
) -> subprocess.Popen[bytes]:
    """Start our handler under RunPod's own SDK, as a worker of `endpoint` at the control plane `url`.

    `vllm_base_url` is what `vllm serve` would be on RunPod (`…/v1`). Returns at once; it takes jobs when it is up.
    """
    worker_id = worker_id or f"worker-{endpoint}"
    base = f"{url}/v2/{endpoint}"
    # No RUNPOD_WEBHOOK_PING: the SDK's heartbeat is a process of its own that would outlive a killed worker. Asking for
    # jobs and for stops tells that a worker lives.
    env = {
        "RUNPOD_WEBHOOK_GET_JOB": f"{base}/job-take/$ID?gpu=NONE",
        "RUNPOD_WEBHOOK_POST_OUTPUT": f"{base}/job-done/$RUNPOD_POD_ID/$ID?gpu=NONE",
        "RUNPOD_WEBHOOK_POST_STREAM": f"{base}/job-stream/$RUNPOD_POD_ID/$ID?gpu=NONE",
        "RUNPOD_AI_API_KEY": api_key,
        "RUNPOD_POD_ID": worker_id,
        "RUNPOD_ENDPOINT_ID": endpoint,
        "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",  # no GPU to be checked here
        "RUNPOD_SKIP_GPU_CHECK": "true",
        "RUNPOD_LOG_LEVEL": "WARN",
        "VLLM_BASE_URL": vllm_base_url,
        "HOME": str(HOME / "runpod"),  # or the SDK would prefer a developer's own RunPod key
    }
    return launch([str(WORKER)], log=log, python=HOME / "runpod" / "bin" / "python", env=env)


def await_workers(url: str, endpoints: Sequence[str], seconds: float = 40) -> None:
    """Return when every endpoint has a worker that asks for jobs. Raises RuntimeError after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"{url}/_stats", timeout=5) as answer:
            stats = json.load(answer)
        if all(stats[endpoint]["workers"] for endpoint in endpoints):
            return
        time.sleep(0.1)
    raise RuntimeError(f"no RunPod worker came up for {', '.join(endpoints)}")
