#!/usr/bin/env bash
# Usage: ci/gpu.sh [smoke] [tests] [table]
#
# What a GPU can tell, in three stages, each of use alone; without an argument all of them, which with the
# defaults take at most seven minutes:
#
#   smoke   what a user does first: digits by command, eager and captured, in three precisions, a sweep
#           of 15, an estimator, PyTorch and JAX (ci/gpu_smoke.py)
#   tests   the test suite with CuPy demanded instead of skipped, the CUDA path first (ci/gpu_tests.py)
#   table   the time of a step beside what other libraries take and the least it can take
#           (benchmarks/gpu_table.py)
#
# In front of them stands which GPU and libraries these are, in at most 20 seconds. Nothing is installed
# into the environment: NumPy and CuPy have to be importable; pytest and xpnet's other dependencies too, or to
# lie in a BUNDLE. xpnet itself is the one of this checkout. A stage that fails, or takes longer than
# it may, does not stop the others; the exit status tells whether one did.
#
# Settings: PYTHON (default python3) runs it; OUT (default gpu-results) receives
#   device.txt smoke.txt tests.txt table.txt      each stage's output
#   tests.xml table.md table.json                 results, written as soon as there are any
#   summary.json                                  the exit status and seconds of each stage
# BUNDLE is a folder made by ci/gpu-bundle.sh: what this environment lacks of its wheels is installed into
# a folder for the time being, which takes its own time. SMOKE_SECONDS (default 60), TESTS_SECONDS (150) and
# TABLE_SECONDS (180) are what the stages may take until the last of their processes is gone; TESTS_WORKERS
# (default 8) processes share the tests where pytest-xdist is importable; PYTEST_ADDOPTS reaches pytest.
# XPNET_GPU_DEVICE (default cuda) may be cuda:N, or cpu to rehearse the script where there is no GPU: the
# tests then run on NumPy, and the table on a small network.
set -euo pipefail

# refuse MESSAGE: ends the script with one line.
refuse() {
  printf 'ci/gpu.sh: %s\n' "$1" >&2
  exit 2
}

stages=("$@")
((${#stages[@]})) || stages=(smoke tests table)
for name in "${stages[@]}"; do
  [[ $name == smoke || $name == tests || $name == table ]] ||
    refuse "there is no stage $name: give some of smoke, tests and table, or none for all"
done

# seconds NAME DEFAULT: prints the setting NAME; 20 are the least, since a stage keeps some to end in.
seconds() {
  local value=${!1:-$2}
  [[ $value =~ ^([2-9][0-9]|[1-9][0-9]{2,4})$ ]] || refuse "$1=$value: give whole seconds, from 20"
  printf '%s' "$value"
}

smoke_seconds=$(seconds SMOKE_SECONDS 60)
tests_seconds=$(seconds TESTS_SECONDS 150)
table_seconds=$(seconds TABLE_SECONDS 180)
workers=${TESTS_WORKERS:-8}
[[ $workers =~ ^[1-9][0-9]{0,2}$ ]] || refuse "TESTS_WORKERS=$workers: give a number of processes, from 1"
python=${PYTHON:-python3}
[[ $python != */* || $python == /* ]] || python=$PWD/$python
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
  refuse "PYTHON=$python is no Python 3.11 or newer: name one"
device=${XPNET_GPU_DEVICE:-cuda}
bundle=${BUNDLE:+$(cd "$BUNDLE" 2>/dev/null && pwd)} ||
  refuse "there is no folder BUNDLE=$BUNDLE: make it with ci/gpu-bundle.sh $BUNDLE"
if [[ -n $bundle ]]; then
  wheels=("$bundle"/*.whl)
  [[ -e ${wheels[0]} ]] || refuse "there are no wheels in BUNDLE=$BUNDLE: fill it with ci/gpu-bundle.sh $BUNDLE"
fi
out=${OUT:-gpu-results}
# A file is tried, since what may be written to cannot be told from a folder's mode.
{ mkdir -p "$out" && rm "$(mktemp "$out/.XXXXXX")"; } 2>/dev/null ||
  refuse "nothing can be written to OUT=$out: name another folder"
out=$(cd "$out" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
export XLA_PYTHON_CLIENT_PREALLOCATE=false # JAX would take most of the GPU's memory in every process
export OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 # many processes, and what is compared is of one thread
export PIP_DISABLE_PIP_VERSION_CHECK=1

demanded=cupy
network=()
if [[ $device == cpu ]]; then
  demanded=numpy
  network=(--small)
fi

# What it needs

if [[ -n $bundle ]]; then
  site=$(mktemp -d)
  trap 'rm -rf "$site"' EXIT
  # Wheels of what is there already stay out: the environment's own goes with its other packages.
  lacking=$(
    "$python" - "${wheels[@]}" <<'PY'
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

for wheel in sys.argv[1:]:
    try:
        version(Path(wheel).name.partition("-")[0])
    except PackageNotFoundError:
        print(wheel)
PY
  )
  if [[ -n $lacking ]]; then
    mapfile -t wheels <<<"$lacking"
    if ! told=$("$python" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir \
      --root-user-action=ignore --target "$site" "${wheels[@]}" 2>&1); then
      told=${told##*$'\n'}
      refuse "pip cannot install BUNDLE=$BUNDLE: ${told%.}; for another Python make it with BUNDLE_PYTHON"
    fi
    export PYTHONPATH=$PYTHONPATH:$site
  fi
fi

# missing MODULE ...: prints the packages of those that cannot be found.
missing() {
  "$python" - "$@" <<'PY'
import sys
from importlib.util import find_spec

names = {"sklearn": "scikit-learn", "xdist": "pytest-xdist"}
print(*(names.get(m, m.replace("_", "-")) for m in sys.argv[1:] if find_spec(m) is None), sep=", ")
PY
}

own=(numpy) # what no bundle has
[[ $device == cpu ]] || own+=(cupy)
needed=(array_api_compat narwhals safetensors threadpoolctl)
[[ " ${stages[*]} " != *" tests "* ]] || needed+=(pytest hypothesis)
own_lacking=$(missing "${own[@]}")
lacking=$(missing "${needed[@]}")
remedies=
if [[ -n $own_lacking ]]; then
  packages=${own_lacking/cupy/cupy-cuda12x}
  remedies="pip install ${packages//,/}"
  [[ $own_lacking != *cupy* ]] || remedies+=" (cupy-cuda13x for CUDA 13)"
fi
if [[ -n $lacking ]]; then
  remedies+="${remedies:+; }pip install ${lacking//,/}, or bring them: "
  remedies+="ci/gpu-bundle.sh FOLDER, then BUNDLE=FOLDER ci/gpu.sh"
fi
[[ -z $remedies ]] || refuse "not installed: $own_lacking${own_lacking:+${lacking:+, }}$lacking: $remedies"

# The stages

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
  printf '{%s}\n' "$summary" >"$out/summary.json"
  ((status == 0)) || failed=1
}

# shellcheck disable=SC2317,SC2329 # called by name, through stage
describe() {
  local optional
  optional=$(missing xdist array_api_strict loky optuna polars pooch pyarrow sklearn tensorboardX onnx torch jax)
  [[ -z $optional ]] || printf 'not installed, so that what needs it is left out: %s\n' "$optional"
  timeout -k 1 14 "$python" - "$device" <<'PY' || return
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
  if command -v nvidia-smi >/dev/null; then timeout -k 1 4 nvidia-smi; fi # the driver may come without it
}

stage device describe
for name in "${stages[@]}"; do
  case $name in
    # Each stops by itself before its seconds are over. One that doesn't is ended 2 s before, and killed at the
    # end. The first minute's steps have 3 s to end in, the tests keep their own.
    smoke)
      images=()
      [[ ! -f $bundle/cifar10.npz ]] || images=(--data "$bundle/cifar10.npz")
      stage smoke timeout -k 2 "$((smoke_seconds - 2))" \
        "$python" ci/gpu_smoke.py --device "$device" --seconds "$((smoke_seconds - 7))" "${images[@]}"
      ;;
    tests)
      rm -f "$out/tests.xml"
      stage tests timeout -k 2 "$((tests_seconds - 2))" \
        "$python" ci/gpu_tests.py --xp "$demanded" --seconds "$((tests_seconds - 5))" \
        --workers "$workers" --xml "$out/tests.xml"
      ;;
    table)
      rm -f "$out"/table.{md,json}
      stage table timeout -k 2 "$((table_seconds - 2))" \
        "$python" benchmarks/gpu_table.py --device "$device" --out "$out" \
        --budget "$((table_seconds - 5))" "${network[@]}"
      # What it had when it was ended.
      grep -q '^| contender' "$out/table.txt" || cat "$out/table.md" 2>/dev/null || true
      ;;
  esac
done

printf '\n== results in %s: %s\n' "$out" "$(cat "$out/summary.json")"
exit "$failed"
