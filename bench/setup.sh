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

# packages NAME WHAT: the npm packages that bench/NAME locks.
packages() {
  want="$(digest "bench/$1/package-lock.json")"
  if fresh ".noren/bench/$1" "$want"; then return; fi
  echo "Setting up $2 …" >&2
  rm -rf ".noren/bench/$1" && mkdir -p ".noren/bench/$1"
  cp "bench/$1/package.json" "bench/$1/package-lock.json" ".noren/bench/$1/"
  (cd ".noren/bench/$1" && npm ci --ignore-scripts --no-audit --no-fund --silent)
  echo "$want" > ".noren/bench/$1/.stamp"
}

packages portkey Portkey
packages widgets "other widgets"
