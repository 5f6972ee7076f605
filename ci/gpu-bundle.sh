#!/usr/bin/env bash
# Usage: ci/gpu-bundle.sh FOLDER [REQUIREMENT ...]
#
# Puts into FOLDER what a machine with a GPU often lacks where there is no package index: wheels of xpnet's
# dependencies and of its tests' for Python 3.12 on x86-64 Linux, and a slice of CIFAR-10 from XPNET_DATA_DIR
# where that is set. `BUNDLE=FOLDER ci/gpu.sh` takes it from there. Requirements are put along with them,
# without what they need themselves. NumPy, CuPy, PyTorch and JAX are not in it, being large, nor is Polars:
# those have to be there. FOLDER is filled at the end, or not at all. Images are never downloaded.
#
# Settings: PYTHON (default python3) runs pip; BUNDLE_PYTHON (default 3.12) is the Python of the wheels;
# BUNDLE_MIB (default 40) is how large the folder may be.
set -euo pipefail

refuse() {
  printf 'ci/gpu-bundle.sh: %s\n' "$1" >&2
  exit 2
}

[[ -n ${1:-} ]] || refuse "give the folder to make"
folder=$1
shift
[[ $folder == /* ]] || folder=$PWD/$folder
[[ ! -e $folder || -d $folder ]] || refuse "$folder is a file: give a new folder"
# Two versions of a package would stop the installation of all.
[[ ! -d $folder || -z $(ls -A "$folder") ]] || refuse "$folder is not empty: give a new one"
python=${PYTHON:-python3}
[[ $python != */* || $python == /* ]] || python=$PWD/$python
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
  refuse "PYTHON=$python is no Python 3.11 or newer: name one"
limit=${BUNDLE_MIB:-40}
[[ $limit =~ ^[1-9][0-9]{0,5}$ ]] || refuse "BUNDLE_MIB=$limit: give a whole number of MiB"
data=
if [[ -n ${XPNET_DATA_DIR:-} ]]; then
  data=$(cd "$XPNET_DATA_DIR" 2>/dev/null && pwd) ||
    refuse "there is no folder XPNET_DATA_DIR=$XPNET_DATA_DIR: name the one of CIFAR-10, or unset it"
fi

# All is made near FOLDER and moved at the end, so that a refusal leaves nothing in the way of the next try.
beside=$folder
until [[ -d $beside ]]; do beside=$(dirname "$beside"); done
made=$(mktemp -d "$beside/.gpu-bundle.XXXXXX" 2>/dev/null) || refuse "$folder cannot be written: give another"
trap 'rm -rf "$made"' EXIT
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PIP_DISABLE_PIP_VERSION_CHECK=1

# The slice comes first: a wrong folder is told before anything is downloaded.
if [[ -n $data ]]; then
  told=$(
    PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} "$python" - "$made/cifar10.npz" "$data" 2>&1 <<'PY'
import sys
from pathlib import Path

try:
    import numpy as np

    from xpnet.datasets import cifar10, cifar_files
    from xpnet.errors import InputError
except ImportError as error:
    sys.exit(f"{error}: install xpnet's dependencies for PYTHON, or unset XPNET_DATA_DIR")

target, folder = sys.argv[1:]
try:
    # cifar10 would go on to the cache, and to a download.
    if cifar_files.find(Path(folder)) is None:
        sys.exit(f"there is none in XPNET_DATA_DIR={folder}: name the folder of CIFAR-10, or unset it")
    data = cifar10(folder)
except InputError as error:
    sys.exit(str(error))
rows = {"": ("train", 4000), "_val": ("val", 500), "_test": ("test", 500)}
arrays = {}
for key, (part, count) in rows.items():
    arrays[f"X{key}"] = getattr(data, f"X_{part}")[:count].reshape(-1, *data.image_shape)
    arrays[f"y{key}"] = getattr(data, f"y_{part}")[:count]
np.savez_compressed(target, **arrays, class_names=np.array(data.class_names))
PY
  ) || refuse "no slice of CIFAR-10: ${told##*$'\n'}"
else
  printf 'no slice of CIFAR-10: XPNET_DATA_DIR is not set\n'
fi

packages=(
  array-api-compat narwhals safetensors threadpoolctl # xpnet's own, beside NumPy
  array-api-strict hypothesis sortedcontainers        # the tests
  pytest pytest-xdist execnet iniconfig packaging pluggy pygments
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
  --dest "$made" "${packages[@]}" "$@" || refuse "pip could not get the wheels: its message is above"

cat >"$made/README" <<'TEXT'
What ci/gpu.sh of xpnet needs on a machine without a package index. From xpnet's checkout there:

    BUNDLE=THIS_FOLDER ci/gpu.sh

or by hand, into a folder of its own:

    python3 -m pip install --no-index --no-deps --target SITE THIS_FOLDER/*.whl
    export PYTHONPATH=SITE
TEXT

size=$(($(du -sk "$made" | cut -f1) / 1024 + 1))
((size <= limit)) || refuse "it takes $size MiB of $limit: name fewer requirements, or set BUNDLE_MIB=$size"
mkdir -p "$folder"
mv "$made"/* "$folder"
printf '%s: %s wheels, %s MiB\n' "$folder" "$(find "$folder" -name '*.whl' | wc -l)" "$size"
