#!/usr/bin/env bash
# Usage: ci/docs.sh [FOLDER]
#
# The documentation site, with warnings as errors, into FOLDER (default docs/_build/html). In the environment
# of ci/test.sh (.venv-ci), which is made if it isn't there; the tests that ci/test.sh runs build the site,
# too, and run every block of code on its pages. PYTHON (default python3) makes the environment.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

venv=$PWD/.venv-ci
python=$venv/bin/python
unset PYTHONPATH PYTHONHOME
export PIP_DISABLE_PIP_VERSION_CHECK=1

if [[ ! -x $python ]]; then
  "${PYTHON:-python3}" -m venv "$venv"
  "$python" -m pip install --quiet 'pip>=25.1' # the first with --group
  "$python" -m pip install --quiet '.[all]' --group docs
fi
export PYTHONSAFEPATH=1 # what is documented is what was installed, not the checkout
out=${1:-docs/_build/html}
# All pages are read again (-E): Sphinx forgets the index's entries of those that it doesn't read, and with them
# what the search finds first (https://github.com/sphinx-doc/sphinx/issues/12599).
"$python" -m sphinx -E -W --keep-going -n -q -d "$venv/doctrees" docs "$out"
printf 'built in %s\n' "$out"
