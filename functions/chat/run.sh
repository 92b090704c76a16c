#!/bin/sh
# Started by the Lambda Web Adapter in the managed Python runtime.
cd "${LAMBDA_TASK_ROOT:-.}" || exit 1
export PYTHONPATH="${LAMBDA_TASK_ROOT:-.}:/opt/python${PYTHONPATH:+:$PYTHONPATH}${LAMBDA_RUNTIME_DIR:+:$LAMBDA_RUNTIME_DIR}"
exec python3 -m uvicorn chat.main:app --host 127.0.0.1 --port "${PORT:-8080}" --no-access-log --log-level warning
