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
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Part:
    """What pytest gets; the share it may take of the time that is left; whether it has to come to its end."""

    what: list[str]
    share: float
    whole: bool = True


def parts(demanded: str) -> dict[str, Part]:
    """Return all parts by name."""
    here, elsewhere = ["-k", demanded], ["-k", f"not {demanded}"]
    done = [f"--ignore={path}" for path in (*MATHS, *STEPS)]
    return {
        "the CUDA path": Part([CUDA], 0.4),
        "layers and losses": Part([*MATHS, *here], 0.5),
        "training": Part([*STEPS, *here, f"--ignore={CUDA}"], 0.7),
        "other rooms": Part(["tests", *here, *done], 1.0, whole=False),
        "what is not on the device": Part(["tests", *elsewhere, f"--ignore={CUDA}"], 1.0, whole=False),
    }


def is_well(part: Part, ended: gpu_limits.Ended, results: Path) -> bool:
    """Return whether all that was tested passed, and was tested if it had to be."""
    if not ended.late:
        return ended.status == 0
    suites = read(results)
    bad = sum(int(suite.get(kind, "0")) for suite in suites for kind in ("failures", "errors"))
    return not part.whole and len(suites) > 0 and bad == 0


def read(results: Path) -> list[ET.Element]:
    """Return the suites in a file of results; none if pytest did not come to write it."""
    try:
        return list(ET.parse(results).getroot())
    except (FileNotFoundError, ET.ParseError):
        return []


def merge(whole: Path, of_parts: list[Path]) -> None:
    """Write the results of all parts into one file."""
    suites = ET.Element("testsuites")
    for part in of_parts:
        suites.extend(read(part))
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
    ends: dict[str, str] = {}
    files: list[Path] = []
    well = True
    with tempfile.TemporaryDirectory() as scratch:
        for number, (name, part) in enumerate(parts(flags.xp).items()):
            seconds = part.share * (deadline - time.monotonic() - gpu_limits.GRACE)
            if seconds < LEAST:
                ends[name] = "no time left"
                well &= not part.whole
                continue
            print(f"\n-- {name}: at most {seconds:.0f} s", flush=True)
            files.append(Path(scratch, f"{number}.xml"))
            report = [f"--junitxml={files[-1]}", "-o", f"junit_suite_name={name}"]
            report += ["-o", f"faulthandler_timeout={HANGING}"]
            command = [sys.executable, "-m", "pytest", *part.what, "--xp", flags.xp, *brief, *shared, *report]
            ended = gpu_limits.run(command, seconds)
            ends[name] = str(ended)
            well &= is_well(part, ended, files[-1])
            if flags.xml:
                merge(flags.xml, files)
    print("\n".join(["", *(f"-- {name}: {end}" for name, end in ends.items())]))
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
