#!/usr/bin/env bash
# Usage: ci/test.sh [REQUIREMENT ...]
#
# Everything that has to hold before a change goes in: style, types and the tests, in a virtual
# environment of its own (.venv-ci) that holds the package as a user would install it. Requirements
# are installed along with it:
#
#   ci/test.sh "numpy==2.0.*"    # the oldest NumPy
#   ci/test.sh torch jax         # with the other libraries that compute
#
# Settings: PYTHON (default python3) makes the environment; XPNET_CI_KEEP=1 uses the last one again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '\n== %s\n' "$*"; }

venv=$PWD/.venv-ci
python=$venv/bin/python
unset PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE
if [[ ${OS:-} == Windows_NT ]]; then # bash is that of Git
  python=$venv/Scripts/python.exe
  export PYTHONUTF8=1 # as the tests' own files are
fi
export PIP_DISABLE_PIP_VERSION_CHECK=1

if [[ ${XPNET_CI_KEEP:-} != 1 || ! -x $python ]]; then
  say "environment: $("${PYTHON:-python3}" --version) in $venv"
  "${PYTHON:-python3}" -m venv --clear "$venv"
fi

say "install: .[all], the dev group${*:+, $*}"
"$python" -m pip install --quiet 'pip>=25.1' # the first with --group
# Python compiles what is imported, a fraction of what is installed.
"$python" -m pip install --quiet --no-compile '.[all]' --group dev "$@"

say "style: ruff check, ruff format --check"
"$python" -m ruff check
"$python" -m ruff format --check

# NumPy's annotations differ from one release to the next: types are checked against the newest.
if [[ " $* " == *" numpy"[=\<~]* ]]; then
  say "types: skipped with this NumPy"
else
  say "types: mypy"
  "$python" -m mypy --num-workers auto
fi

# From here on no Python, the tests' subprocesses included, puts its working directory on sys.path:
# what is imported is what was installed, not the checkout.
export PYTHONSAFEPATH=1
say "tests: pytest on the installed package"
"$python" - <<'PY'
import sys
from pathlib import Path

import numpy
import xpnet

package = Path(xpnet.__file__).resolve().parent
if not package.is_relative_to(Path(sys.prefix).resolve()):
    sys.exit(f"ci/test.sh: xpnet was imported from {package}, not from the environment")
print(f"xpnet {xpnet.__version__} in {package}, NumPy {numpy.__version__}")
PY
# On all cores, so products have no threads of their own.
OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 "$python" -m pytest -n auto --dist worksteal

say "passed"
