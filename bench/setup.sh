#!/bin/sh
# The peers that the benches run beside us, each in a place of its own, each only if its lock changed.
set -eu
cd "$(dirname "$0")/.."
mkdir -p .noren/bench

digest() { cat "$@" | cksum | tr -d ' \n'; }

fresh() { [ -f "$1/.stamp" ] && [ "$(cat "$1/.stamp")" = "$2" ]; }

want="$(digest bench/litellm.txt)"
if ! fresh .noren/bench/litellm "$want"; then
  echo "Setting up LiteLLM …" >&2
  rm -rf .noren/bench/litellm
  .venv/bin/python -m venv --without-pip .noren/bench/litellm
  .venv/bin/python -m uv pip install -q --python .noren/bench/litellm/bin/python --require-hashes -r bench/litellm.txt
  echo "$want" > .noren/bench/litellm/.stamp
fi

want="$(digest bench/portkey/package-lock.json)"
if ! fresh .noren/bench/portkey "$want"; then
  echo "Setting up Portkey …" >&2
  rm -rf .noren/bench/portkey && mkdir -p .noren/bench/portkey
  cp bench/portkey/package.json bench/portkey/package-lock.json .noren/bench/portkey/
  (cd .noren/bench/portkey && npm ci --ignore-scripts --no-audit --no-fund --silent)
  echo "$want" > .noren/bench/portkey/.stamp
fi
