"""Starts every model service of the local run: the stand-in model server, RunPod's control plane and its workers."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from local import emulator, llm, runpod

PHI3 = "local-phi3"
MISTRAL = "local-mistral"
"""Endpoint ids at the local control plane."""


@dataclass(frozen=True, slots=True)
class ModelStack:
    """What was started, and what points the platform at it."""

    processes: dict[str, subprocess.Popen[bytes]]
    env: dict[str, str]
    """Base URLs and endpoint ids, by the upper-cased names of `noren.settings.Settings`."""
    secrets: dict[str, str]
    """Keys for the provider secret."""
    llm_url: str
    runpod_url: str

    def stop(self) -> None:
        """Stop all, workers first."""
        for process in reversed(self.processes.values()):
            process.terminate()
        for process in reversed(self.processes.values()):
            emulator.stop(process, seconds=5)


def start_stack(port: int, logs: Path, *, pace_ms: float = 15, api_key: str = llm.API_KEY) -> ModelStack:
    """Start everything on `port` (models) and `port + 1` (RunPod). Raises RuntimeError where a part does not start."""
    llm_url, runpod_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}"
    processes: dict[str, subprocess.Popen[bytes]] = {}
    env = {
        "OPENAI_BASE_URL": f"{llm_url}/openai/v1",
        "ANTHROPIC_BASE_URL": f"{llm_url}/anthropic",
        "LOCAL_LLM_BASE_URL": f"{llm_url}/local/v1",
        "RUNPOD_BASE_URL": f"{runpod_url}/v2",
        "RUNPOD_PHI3_ENDPOINT": PHI3,
        "RUNPOD_MISTRAL_ENDPOINT": MISTRAL,
    }
    names = ("openai_api_key", "anthropic_api_key", "runpod_api_key", "local_llm_api_key")
    stack = ModelStack(processes, env, dict.fromkeys(names, api_key), llm_url, runpod_url)
    try:
        processes["llm"] = llm.start(port, log=logs / "llm.log", api_key=api_key, pace_ms=pace_ms)
        processes["runpod"] = runpod.start(port + 1, [PHI3, MISTRAL], log=logs / "runpod.log", api_key=api_key)
        for endpoint, model in ((PHI3, "phi3"), (MISTRAL, "mistral")):
            processes[f"worker {model}"] = runpod.start_worker(
                runpod_url,
                endpoint,
                f"{llm_url}/{model}/v1",
                log=logs / f"worker-{model}.log",
                api_key=api_key,
            )
        runpod.await_workers(runpod_url, [PHI3, MISTRAL])
    except BaseException:
        stack.stop()
        raise
    return stack
