#!/usr/bin/env bash
# Usage: ci/docs.sh [FOLDER]
#
# The documentation: builds the site with warnings as errors, into FOLDER (default docs/_build/html),
# and runs every block of code on its pages, and the notebook on a small slice.
#
# In the environment of ci/test.sh (.venv-ci), which is made if it isn't there. XPNET_CI_KEEP=1 uses it
# as it is, as ci/test.sh does when it calls this at its end. PYTHON (default python3) makes it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '\n== %s\n' "$*"; }

venv=$PWD/.venv-ci
python=$venv/bin/python
unset PYTHONPATH PYTHONHOME
export PIP_DISABLE_PIP_VERSION_CHECK=1

if [[ ${XPNET_CI_KEEP:-} != 1 || ! -x $python ]]; then
  say "environment: $("${PYTHON:-python3}" --version) in $venv"
  "${PYTHON:-python3}" -m venv --clear "$venv"
  "$python" -m pip install --quiet 'pip>=25.1' # the first with --group
  "$python" -m pip install --quiet '.[all]' --group test
fi
say "install: the docs group"
"$python" -m pip install --quiet --group docs

export PYTHONSAFEPATH=1 # what is documented is what was installed, not the checkout
say "pages and notebook: every block of code"
"$python" -m pytest -q tests/test_docs.py -k "not site"

say "site: sphinx, with warnings as errors"
out=${1:-docs/_build/html}
"$python" -m sphinx -W --keep-going -n -q -d "$venv/doctrees" docs "$out"

say "documentation: built in $out"
