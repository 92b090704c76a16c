#!/bin/bash
# Starts vLLM, waits until it has loaded the model, then takes jobs. Ends when either of the two ends, so that RunPod
# replaces a broken worker instead of feeding it jobs.
set -euo pipefail
: "${VLLM_MODEL:?names the model to serve}"

[ -d /runpod-volume ] || export HF_HOME="$HOME/.cache/huggingface"
# shellcheck disable=SC2086 — VLLM_ARGS is a list
vllm serve "$VLLM_MODEL" --host 127.0.0.1 --port 8000 --max-model-len "${MAX_MODEL_LEN:-4096}" ${VLLM_ARGS:-} &
vllm=$!
trap 'kill "$vllm" 2>/dev/null || true' EXIT

until curl --silent --fail --max-time 2 http://127.0.0.1:8000/health >/dev/null; do
  kill -0 "$vllm" || { echo "vLLM ended before it was ready" >&2; exit 1; }
  sleep 0.5
done

/worker/venv/bin/python -u /worker/handler.py &
handler=$!
trap 'kill "$handler" "$vllm" 2>/dev/null || true' EXIT TERM INT
wait -n "$vllm" "$handler"
