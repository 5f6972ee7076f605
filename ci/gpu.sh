#!/usr/bin/env bash
# Usage: ci/gpu.sh
#
# Everything a GPU can tell, in one command, in less than eight minutes: which GPU and libraries these
# are, the test suite with CuPy demanded instead of skipped (trajectories against NumPy's, captured
# steps against eager ones, allocations and synchronisations counted, running out of memory), and one
# table of the time of a step beside what other libraries take and the least it can take. Installs
# nothing: CuPy, pytest and the other packages of the test group have to be importable, and PyTorch and
# JAX to be in the table; xpnet itself is the one of this checkout. A stage that fails, or takes longer
# than it may, does not stop the others; the exit status tells whether one did.
#
# Captured steps are the affair of tests/device/test_cuda.py; `pytest --xp cupy-captured` captures those of the
# whole suite, for which there is no time here.
#
# Settings: PYTHON (default python3) runs it; OUT (default gpu-results) receives
#   device.txt tests.txt tests.xml table.txt      each stage's output
#   table.md table.json                           the table, with every round of every contender
#   summary.json                                  the exit status and seconds of each stage
# TESTS_WORKERS (default 8) processes share the tests where pytest-xdist is importable; without it the
# tests of the CUDA path come first, and the whole suite may need more than its time.
# TESTS_SECONDS (default 230) and TABLE_SECONDS (default 190) are what the two long stages may take;
# PYTEST_ADDOPTS reaches pytest. XPNET_GPU_DEVICE (default cuda) may be cuda:N, or cpu to rehearse the
# script where there is no GPU: the tests then run on NumPy, and the table on a small network.
set -euo pipefail

python=${PYTHON:-python3}
device=${XPNET_GPU_DEVICE:-cuda}
mkdir -p "${OUT:-gpu-results}"
out=$(cd "${OUT:-gpu-results}" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
export XLA_PYTHON_CLIENT_PREALLOCATE=false # JAX would take most of the GPU's memory in every process

demanded=cupy
network=()
if [[ $device == cpu ]]; then
  demanded=numpy
  network=(--small)
fi
tests_seconds=${TESTS_SECONDS:-230}
table_seconds=${TABLE_SECONDS:-190}

workers=()
if "$python" -c 'import xdist' 2>/dev/null; then
  workers=(-n "${TESTS_WORKERS:-8}")
fi

failed=0
summary=

# stage NAME COMMAND [ARGUMENT ...]: runs it, shows and keeps what it prints, notes how it went.
stage() {
  local name=$1 status=0 start=$SECONDS
  shift
  printf '\n== %s\n' "$name"
  "$@" 2>&1 | tee "$out/$name.txt" || status=$?
  ((status != 124 && status != 137)) || printf '%s took longer than it may\n' "$name" | tee -a "$out/$name.txt"
  summary+="${summary:+, }\"$name\": {\"status\": $status, \"seconds\": $((SECONDS - start))}"
  ((status == 0)) || failed=1
}

# shellcheck disable=SC2329 # called by name, through stage
describe() {
  "$python" - "$device" <<'PY' || return
import sys

import xpnet

try:
    print(xpnet.__version__, xpnet.get_device(sys.argv[1]))
except xpnet.DeviceError as error:
    sys.exit(f"ci/gpu.sh: {error}")
if sys.argv[1] != "cpu":
    import cupy

    cupy.show_config()
PY
  command -v nvidia-smi >/dev/null && nvidia-smi || true # the driver may come without it
}

stage device describe
stage tests timeout -k 10 "$tests_seconds" \
  "$python" -m pytest tests/device/test_cuda.py tests --xp "$demanded" \
  "${workers[@]}" --junitxml="$out/tests.xml"
# It stops by itself in time; the limit is for a library that hangs.
stage table timeout -k 10 "$((table_seconds + 40))" \
  "$python" benchmarks/gpu_table.py --device "$device" --out "$out" --budget "$table_seconds" "${network[@]}"

printf '{%s}\n' "$summary" >"$out/summary.json"
printf '\n== results in %s: %s\n' "$out" "$(cat "$out/summary.json")"
exit "$failed"
