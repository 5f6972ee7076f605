"""The tests on a GPU, in as many parts as fit into a limit of time, the most telling first.

    python ci/gpu_tests.py [--xp cupy] [--seconds 150] [--workers 8] [--xml FILE]

Each part is a call of pytest with a limit of its own, so that a test that hangs takes no other part along. At
its limit pytest is interrupted: it tells of the tests that are done, and of those that failed. The file of
``--xml`` is written anew after each part.
"""

import argparse
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from importlib.util import find_spec
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent)]
import gpu_limits

CUDA = "tests/device/test_cuda.py"
MATHS, STEPS = ("tests/nn",), ("tests/training", "tests/device", "tests/data")

LEAST = 8.0
"""Seconds that a part needs to begin with."""

HANGING = 30
"""Seconds after which the stacks of a test are shown; it goes on."""


def parts(demanded: str) -> dict[str, tuple[float, list[str]]]:
    """Return the share of the time that each part may take, of what is left, and what pytest gets."""
    here, elsewhere = ["-k", demanded], ["-k", f"not {demanded}"]
    done = [f"--ignore={path}" for path in (*MATHS, *STEPS)]
    return {
        "the CUDA path": (0.4, [CUDA]),
        "layers and losses": (0.5, [*MATHS, *here]),
        "training": (0.7, [*STEPS, *here, f"--ignore={CUDA}"]),
        "other rooms": (1.0, ["tests", *here, *done]),
        "what is not on the device": (1.0, ["tests", *elsewhere, f"--ignore={CUDA}"]),
    }


def merge(whole: Path, of_parts: list[Path]) -> None:
    """Write the results of all parts into one file."""
    suites = ET.Element("testsuites")
    for part in of_parts:
        if part.exists():
            suites.extend(ET.parse(part).getroot())
    ET.ElementTree(suites).write(whole, encoding="utf-8", xml_declaration=True)


def main() -> None:
    """Run part after part."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--xp", default="cupy", help="the device to demand, see tests/conftest.py")
    parser.add_argument("--seconds", type=float, default=150.0, help="for all parts (default: 150)")
    parser.add_argument("--workers", type=int, default=8, help="processes, with pytest-xdist (default: 8)")
    parser.add_argument("--xml", type=Path, help="file of the results, as of --junitxml")
    flags = parser.parse_args()
    gpu_limits.listen()
    deadline = time.monotonic() + flags.seconds
    shared = ["-n", str(flags.workers), "--dist", "worksteal"] if find_spec("xdist") else []
    # Local variables may be arrays of a GPU that no longer answers; a broken one breaks every test.
    brief = ["-q", "-rfE", "--tb=short", "--no-showlocals", "--maxfail=40"]
    ends, files = {}, []
    with tempfile.TemporaryDirectory() as scratch:
        for number, (name, (share, what)) in enumerate(parts(flags.xp).items()):
            left = deadline - time.monotonic() - gpu_limits.GRACE
            if left * share < LEAST:
                ends[name] = "no time left"
                continue
            print(f"\n-- {name}: at most {left * share:.0f} s", flush=True)
            files.append(Path(scratch, f"{number}.xml"))
            report = [
                "-o",
                f"faulthandler_timeout={HANGING}",
                f"--junitxml={files[-1]}",
                "-o",
                f"junit_suite_name={name}",
            ]
            command = [sys.executable, "-m", "pytest", *what, "--xp", flags.xp, *brief, *shared, *report]
            ends[name] = gpu_limits.run(command, left * share)
            if flags.xml:
                merge(flags.xml, files)
    print("\n".join(["", *(f"-- {name}: {end}" for name, end in ends.items())]))
    # A part for which there was no time is no failure: the most telling have come first.
    sys.exit(
        any(isinstance(end, gpu_limits.Ended) and (end.late or end.status != 0) for end in ends.values())
    )


if __name__ == "__main__":
    main()
