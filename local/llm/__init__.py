"""A stand-in model server: OpenAI's and Anthropic's wire formats over the offline answerer, in a process of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path

from local.process import launch

API_KEY = "local-model-key"
ENDPOINTS = {"openai": "openai", "anthropic": "anthropic", "local": "openai", "phi3": "vllm", "mistral": "vllm"}
"""Path prefixes and what each speaks; `vllm` is OpenAI's format without a key, as our RunPod image serves it."""


def start(port: int, *, log: Path, api_key: str = API_KEY, pace_ms: float = 15) -> subprocess.Popen[bytes]:
    """Start the server on 127.0.0.1 and return when it answers. `pace_ms` lies between two tokens."""
    arguments = ["-m", "local.llm", "--port", str(port), "--pace-ms", str(pace_ms)]
    return launch(arguments, log=log, ready=f"http://127.0.0.1:{port}/_stats", env={"LOCAL_LLM_KEY": api_key})
