# Sourced by every command under hack/: finds or makes the locked Python environment, then exports
# VMCLONE_PYTHON, PATH and PYTHONPATH. The environment lives in the cache, keyed by what it holds.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=${VMCLONE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vmclone}

_missing_packages() {
  local package
  for package in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
  done
}

_make_environment() {
  local venv=$1 missing python
  # libvirt-python is built against the C library; the rest are wheels.
  missing=$(_missing_packages gcc pkg-config libvirt-dev python3-venv python3-dev)
  if [ -n "$missing" ]; then
    apt-get update -qq >&2
    # shellcheck disable=SC2086  # one word per package
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
  fi
  python=$(command -v python3) # on a bare machine it came with python3-venv
  # Made in place (scripts in a venv carry its path); the marker is written last. Compiled now, for no later process
  # writes bytecode: the Azure clients alone take 9 s to compile and 1 to load.
  rm -rf "$venv" && "$python" -m venv "$venv"
  "$venv/bin/pip" install -q --require-hashes -r "$ROOT/hack/bootstrap.lock" >&2
  VIRTUAL_ENV="$venv" "$venv/bin/uv" pip install -q --link-mode=copy --compile-bytecode --require-hashes -r "$ROOT/requirements.lock" >&2
  touch "$venv/.complete"
}

_key=$(cat "$ROOT/requirements.lock" "$ROOT/hack/bootstrap.lock" | sha256sum | cut -c1-16)
_venv=$CACHE/venv-$_key
if [ ! -e "$_venv/.complete" ]; then
  mkdir -p "$CACHE"
  echo "making the Python environment (once per lock file) ..." >&2
  (
    flock 9
    [ -e "$_venv/.complete" ] || _make_environment "$_venv"
  ) 9>"$_venv.lock"
fi
export VMCLONE_PYTHON=$_venv/bin/python
export PATH="$_venv/bin:$PATH"
export PYTHONPATH="$ROOT/operator:$ROOT/hack"
export PYTHONDONTWRITEBYTECODE=1
