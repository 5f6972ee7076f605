#!/usr/bin/env bash
# Usage: ci/gpu.sh
#
# Everything a GPU can tell, in one command: which GPU and libraries these are, the test suite with
# CuPy demanded instead of skipped, and the benchmarks. Installs nothing: CuPy, pytest and the
# other packages of the test group have to be importable; xpnet itself is the one of this checkout.
# A stage that fails does not stop the others; the exit status tells whether one did.
#
# Settings: PYTHON (default python3) runs it; OUT (default gpu-results) receives
#   device.txt tests.txt tests.xml                       each stage's output
#   step.txt step.json sweep.txt sweep.json
#   summary.json                                         the exit status and seconds of each stage
set -euo pipefail

python=${PYTHON:-python3}
mkdir -p "${OUT:-gpu-results}"
out=$(cd "${OUT:-gpu-results}" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}

failed=0
summary=

# stage NAME COMMAND [ARGUMENT ...]: runs it, shows and keeps what it prints, notes how it went.
stage() {
  local name=$1 status=0 start=$SECONDS
  shift
  printf '\n== %s\n' "$name"
  "$@" 2>&1 | tee "$out/$name.txt" || status=$?
  summary+="${summary:+, }\"$name\": {\"status\": $status, \"seconds\": $((SECONDS - start))}"
  ((status == 0)) || failed=1
}

# shellcheck disable=SC2329 # called by name, through stage
describe() {
  "$python" -c 'import cupy; cupy.show_config()' || return
  nvidia-smi || true # the driver may come without it
}

stage device describe
stage tests "$python" -m pytest tests --xp cupy --junitxml="$out/tests.xml"
stage step "$python" benchmarks/step.py --device cuda --json "$out/step.json"
stage sweep "$python" benchmarks/sweep.py --device cuda --rounds 7 --json "$out/sweep.json"

printf '{%s}\n' "$summary" >"$out/summary.json"
printf '\n== results in %s: %s\n' "$out" "$(cat "$out/summary.json")"
exit "$failed"
