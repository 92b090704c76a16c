#!/bin/sh
# Brings a fresh clone to where everything can run: virtual environments, Node tools and the built widget, each only if
# what it is made of changed.
set -eu
cd "$(dirname "$0")/.."
mkdir -p .noren

say() { printf '%s\n' "$*" >&2; }

find_python() {
  for name in "${PYTHON:-python3}" python3.13 python3.12 python3.11 python; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then command -v "$name"; return; fi
  done
  say "Noren needs Python 3.11 or newer. Install it (Debian: apt-get install python3 python3-venv), or set PYTHON=…"
  exit 1
}

digest() { cat "$@" | cksum | tr -d ' \n'; }

# venv DIR LOCK: a virtual environment holding exactly the lock's packages.
venv() {
  stamp="$1/.stamp"
  want="$(digest "$2" local/bootstrap.txt)"
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then return; fi
  say "Setting up $1 …"
  rm -rf "$1"
  "$python" -m venv "$1" || { say "python3 -m venv failed (Debian: apt-get install python3-venv)"; exit 1; }
  if [ ! -x .venv/bin/uv ]; then .venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r local/bootstrap.txt; fi
  .venv/bin/uv pip install -q --python "$1/bin/python" --require-hashes -r "$2" 2>.noren/uv.log ||
    "$1/bin/python" -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r "$2" ||
    { cat .noren/uv.log >&2; exit 1; }
  echo "$want" > "$stamp"
}

python="$(find_python)"
venv .venv requirements.txt
venv .noren/emu local/requirements.txt
venv .noren/runpod workers/runpod/requirements.txt
site="$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
printf '%s\n' "$PWD/layers/noren/python" "$PWD/functions" "$PWD" > "$site/noren.pth"

command -v node >/dev/null || { say "Noren needs Node 20 or newer (Debian: apt-get install nodejs npm)."; exit 1; }
node -e 'process.exit(Number(process.versions.node.split(".")[0]) < 20 ? 1 : 0)' || { say "Noren needs Node 20 or newer; this is $(node --version)."; exit 1; }
want="$(digest local/node/package-lock.json)"
if [ ! -f .noren/node/.stamp ] || [ "$(cat .noren/node/.stamp)" != "$want" ]; then
  say "Setting up Node tools …"
  rm -rf .noren/node && mkdir -p .noren/node && cp local/node/package.json local/node/package-lock.json .noren/node/
  (cd .noren/node && npm ci --ignore-scripts --no-audit --no-fund --silent)
  echo "$want" > .noren/node/.stamp
fi

want="$(digest web/widget/*.ts web/widget/*.css web/widget/build.mjs local/node/package-lock.json)"
if [ ! -d .noren/widget ] || [ ! -f functions/platform_api/widget.json ] || [ "$(cat .noren/widget.stamp 2>/dev/null)" != "$want" ]; then
  say "Building the widget …"
  node web/widget/build.mjs
  echo "$want" > .noren/widget.stamp
fi
