#!/usr/bin/env bash
# Usage: ci/gpu-bundle.sh FOLDER [REQUIREMENT ...]
#
# Puts into FOLDER what a machine with a GPU often lacks where there is no package index: wheels of xpnet's
# dependencies and of its tests' for Python 3.12 on x86-64 Linux, and a slice of CIFAR-10 if XPNET_DATA_DIR
# has it. `BUNDLE=FOLDER ci/gpu.sh` takes it from there. Requirements are put along with them, without what
# they need themselves. CuPy, PyTorch and JAX are too large, and Polars nearly so: those have to be there.
#
# Settings: PYTHON (default python3) runs pip; BUNDLE_PYTHON (default 3.12) is the Python of the wheels;
# BUNDLE_MIB (default 40) is how large the folder may be.
set -euo pipefail

refuse() {
  printf 'ci/gpu-bundle.sh: %s\n' "$1" >&2
  exit 2
}

(($#)) || refuse "give the folder to make"
python=${PYTHON:-python3}
limit=${BUNDLE_MIB:-40}
mkdir -p "$1"
folder=$(cd "$1" && pwd)
shift
# Two versions of a package would stop the installation of all.
[[ -z $(ls -A "$folder") ]] || refuse "$folder is not empty: give a new one"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PIP_DISABLE_PIP_VERSION_CHECK=1

packages=(
  array-api-compat narwhals safetensors threadpoolctl # xpnet's own, beside NumPy
  array-api-strict hypothesis sortedcontainers        # the tests
  pytest pytest-xdist execnet iniconfig pluggy
  loky cloudpickle
  optuna alembic colorlog mako markupsafe sqlalchemy greenlet
  tensorboardX
  pooch platformdirs
)
# pip takes no newer one for an older one, so all are named that are in use.
platforms=()
for version in 2_28 2_27 2_24 2_17; do platforms+=(--platform "manylinux_${version}_x86_64"); done
"$python" -m pip download --quiet --no-deps --only-binary=:all: --implementation cp \
  --python-version "${BUNDLE_PYTHON:-3.12}" "${platforms[@]}" --platform manylinux2014_x86_64 \
  --dest "$folder" "${packages[@]}" "$@" || refuse "pip could not get the wheels: its message is above"

if [[ -n ${XPNET_DATA_DIR:-} ]]; then
  PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} "$python" - "$folder/cifar10.npz" <<'PY' || refuse "no slice of CIFAR-10"
import sys

import numpy as np

from xpnet.datasets import cifar10

data = cifar10()
rows = {"": ("train", 4000), "_val": ("val", 500), "_test": ("test", 500)}
arrays = {}
for key, (part, count) in rows.items():
    arrays[f"X{key}"] = getattr(data, f"X_{part}")[:count].reshape(-1, *data.image_shape)
    arrays[f"y{key}"] = getattr(data, f"y_{part}")[:count]
np.savez_compressed(sys.argv[1], **arrays, class_names=np.array(data.class_names))
PY
else
  printf 'no slice of CIFAR-10: XPNET_DATA_DIR is not set\n'
fi

cat >"$folder/README" <<'TEXT'
What ci/gpu.sh of xpnet needs on a machine without a package index. From xpnet's checkout there:

    BUNDLE=THIS_FOLDER ci/gpu.sh

or by hand, into a folder of its own:

    python3 -m pip install --no-index --no-deps --target SITE THIS_FOLDER/*.whl
    export PYTHONPATH=SITE
TEXT

size=$(($(du -sk "$folder" | cut -f1) / 1024 + 1))
((size <= limit)) || refuse "$folder has $size MiB, and may have $limit: name fewer requirements, or set BUNDLE_MIB"
printf '%s: %s wheels, %s MiB\n' "$folder" "$(find "$folder" -name '*.whl' | wc -l)" "$size"
