"""Damaged files, thousands of them: each loads as it should or is refused in one line with a fix.

    python tests/fuzzing.py --files 10000 --seed 2

Files of every kind that xpnet reads are made worse by `mutations` and read in a process of its own, which has
a limit of memory, and of time for each file. A file is

* *loaded*: what came of it passes the checks of its kind; with a checksum in it, it is what was saved;
* *refused*: by an `InputError` of one line that holds a fix;
* anything else otherwise: another exception, a warning, a hang, a crash, code that was run.

The same seed gives the same files; ``--kind KIND --number N`` reads one again and shows what it does.
"""

import argparse
import collections
import contextlib
import functools
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from importlib import util
from pathlib import Path

import cifar_files
import models
import mutations
import numpy as np
import resumes
from fits import HERE
from mutations import anything

from xpnet.commands import predict
from xpnet.data.preprocessing import Preprocessing
from xpnet.datasets import Reading, cifar10, from_npz, load
from xpnet.datasets.readers import open_rows
from xpnet.errors import InputError
from xpnet.runs import checkpoints as resume
from xpnet.runs import model_file as checkpoint
from xpnet.runs.config import Config
from xpnet.runs.defaults import defaults_for
from xpnet.runs.model_file import load_model, save_model
from xpnet.runs.settings import read_file

MEMORY = 4 << 30
"""Bytes of address space of the process that reads."""

SECONDS = 10
"""For one file, then the process is killed."""

FIX = re.compile(
    r"\b(give|use|leave|save|train|resume|start|replace|delete|get|rename|drop|write|number|reshape|resize|keep|load|"
    r"separate|correct|divide|must be|need|did you mean|the keys are|or less)\b"
)
"""What a message that contains a fix holds one of."""

CANARY = "canary"
"""What a program in a file makes if it runs, in the folder where the reading is done."""


class WrongError(Exception):
    """What was loaded is not what it should be."""


def expect(condition, what):
    if not condition:
        raise WrongError(what)


# Kinds of file. Each makes its good files, by name, once; damages one of them; and reads.


class Models:
    """``model.safetensors``."""

    name = "model.safetensors"

    def make(self, folder):
        for number, kind in enumerate((models.EVERY_KIND[0], models.EVERY_KIND[-1])):
            save_model(folder / str(number), models.make(**kind))
        save_model(folder / "2", models.make(Preprocessing("pca", 5), "batch", image_shape=None))
        save_model(folder / "3", models.make(of="numbers"))
        save_model(folder / "4", models.make_table())
        good = [(folder / str(number)).read_bytes() for number in range(5)]
        self.known = {_digest(load_model(folder / str(number))) for number in range(5)}
        return good

    def mutate(self, rng, content, others):
        self.is_rehashed = False
        return (
            mutations.safetensors(rng, content, self._rehash)
            if rng.random() < 0.5
            else anything(rng, content, others)
        )

    def _rehash(self, described, content):
        """Give a description the checksum that it should have, if it makes enough sense to have one."""
        from safetensors.numpy import load

        with contextlib.suppress(Exception):
            checkpoint._Description.of_json(described)
            described = described | {"crc32": checkpoint._checksum(described, load(content))}
            self.is_rehashed = True
        return described

    def read(self, path):
        model = load_model(path)
        expect(self.is_rehashed or _digest(model) in self.known, "damage that the checksum does not show")
        expect(model.predict(np.ones((2, model.num_features))).shape[0] == 2, "no predictions")


class Checkpoints:
    """``checkpoint-*.safetensors``, the newer of two and sometimes both."""

    name = resumes.name_of(6)

    def make(self, folder):
        resumes.run_with(self._checkpoints(folder))
        self.older = (folder / resumes.name_of(5)).read_bytes()
        self.known = {}
        for epoch in (6, 5):
            fit = self._checkpoints(folder).latest().fit
            self.known[epoch] = _plain(resumes.all_of(fit))
            (folder / resumes.name_of(epoch)).rename(folder / str(epoch))
        return [(folder / "6").read_bytes()]

    def _checkpoints(self, folder):
        self.notes = []
        return resume.Checkpoints(folder, HERE, resumes.RUN, 1, self.notes.append)

    def mutate(self, rng, content, others):
        self.is_rehashed = False
        self.is_older_good = rng.random() < 0.5
        return (
            mutations.safetensors(rng, content, self._rehash)
            if rng.random() < 0.5
            else anything(rng, content, others)
        )

    def _rehash(self, described, content):
        from safetensors.numpy import load

        with contextlib.suppress(Exception):
            plain = {name: value for name, value in described.items() if name != "crc32"}
            described = plain | {"crc32": resume._checksum(plain, load(content))}
            self.is_rehashed = True
        return described

    def read(self, path):
        other = path.parent / resumes.name_of(5)
        if self.is_older_good:
            other.write_bytes(self.older)
        try:
            fit = self._checkpoints(path.parent).latest().fit
        finally:
            other.unlink(missing_ok=True)
        same = fit.epoch in self.known and _plain(resumes.all_of(fit)) == self.known[fit.epoch]
        expect(same or self.is_rehashed, "damage that the checksum does not show")
        if fit.epoch == 5 and self.is_older_good:
            expect(len(self.notes) == 1, f"{len(self.notes)} notes")
            raise InputError(self.notes[0].replace("trying", "use"))  # a note, and the run goes on


class Cifar:
    """One file of a CIFAR-10 folder, or an archive of one."""

    def __init__(self, layout, name, protocol=None):
        self.layout, self.name, self.protocol = layout, name, protocol
        self.is_archive = "." in layout

    def make(self, folder):
        made = cifar_files.write_cifar(folder, self.layout, images_per_batch=2, protocol=self.protocol)
        self.files = {} if self.is_archive else {path.name: path.read_bytes() for path in made.iterdir()}
        return [made.read_bytes()] if self.is_archive else [self.files[self.name]]

    def mutate(self, rng, content, others):
        inner = mutations.pickled if self.layout.startswith("python") else anything
        if rng.random() < 0.35:
            return anything(rng, content, others)
        if self.is_archive:
            return mutations.archive(rng, content, inner, CANARY)
        return (
            inner(rng, content)
            if inner is anything or self.name.endswith(".txt")
            else inner(rng, content, CANARY)
        )

    def read(self, path):
        if not self.is_archive and len(list(path.parent.iterdir())) < len(self.files):
            for name, content in self.files.items():
                if name != self.name:
                    (path.parent / name).write_bytes(content)
        data = cifar10(path.parent)
        for X, y in ((data.X_train, data.y_train), (data.X_val, data.y_val), (data.X_test, data.y_test)):
            expect(X.dtype == np.uint8 and X.shape == (len(y), 3072), "no images")
            expect(set(y.tolist()) <= set(range(10)), "no labels")


class Npz:
    """``.npz``, as a data set and as an input of ``xpnet predict``."""

    name = "data.npz"

    def make(self, _folder):
        rng = np.random.default_rng(0)
        X, y = rng.random((20, 12)), np.arange(20) % 3
        good = []
        for save, X_ in ((np.savez, X), (np.savez_compressed, (255 * X).astype(np.uint8).reshape(20, 4, 3))):
            file = io.BytesIO()
            save(file, X=X_, y=y)
            good.append(file.getvalue())
        return good

    def mutate(self, rng, content, others):
        return mutations.npz(rng, content, CANARY) if rng.random() < 0.7 else anything(rng, content, others)

    def read(self, path):
        refusals = []
        for read in (self._as_dataset, _as_input):
            try:
                read(path)
            except InputError as error:
                _check_message(str(error))
                refusals.append(error)
        if refusals:
            raise refusals[0]

    def _as_dataset(self, path):
        data = from_npz(path)
        gaps = data.columns is not None
        expect(not np.isinf(data.X_train).any() and np.isnan(data.X_train).any() <= gaps, "no data")
        expect(data.y_train.max() < data.num_classes, "no classes")


class Tables:
    """A table as a data set, and as an input of ``xpnet predict``."""

    def __init__(self, name, mutate):
        self.name = name
        self._mutate = mutate

    def make(self, folder):
        table = models.table() | {"plan": ["a", "b", "c"] * 10}
        if self.name.endswith("csv"):
            lines = [",".join(f'"{name}"' for name in table)]
            lines += [
                ",".join("" if value is None else str(value) for value in row)
                for row in zip(*table.values(), strict=True)
            ]
            return ["\n".join(lines).encode()]
        import pyarrow as pa
        import pyarrow.parquet as pq

        file = folder / self.name
        pq.write_table(pa.table({name: pa.array(values) for name, values in table.items()}), file)
        return [file.read_bytes()]

    def mutate(self, rng, content, others):
        return self._mutate(rng, content) if rng.random() < 0.7 else anything(rng, content, others)

    def read(self, path):
        refusals = []
        for read in (self._as_dataset, self._as_rows):
            try:
                read(path)
            except InputError as error:
                _check_message(str(error))
                refusals.append(error)
        if refusals:
            raise refusals[0]

    def _as_dataset(self, path):
        data = load(path, reading=Reading(target=("plan",)))
        expect(not np.isinf(data.X_train).any() and data.X_train.dtype == np.float64, "no data")
        expect(data.X_train.shape[1] == len(data.columns.columns), "other columns")

    def _as_rows(self, path):
        model = models.make_table("classes")
        rows = open_rows(path, model.num_features, None, columns=model.columns, note=lambda _text: None)
        for X in rows.parts(7):
            expect(np.allclose(model.probabilities(X).sum(axis=1), 1.0), "no probabilities")


class Inputs:
    """An input of ``xpnet predict``."""

    def __init__(self, name, mutate):
        self.name = name
        self._mutate = mutate

    def make(self, _folder):
        X = np.random.default_rng(0).random((20, 12))
        file = io.BytesIO()
        if self.name.endswith("npy"):
            np.save(file, X)
        elif self.name.endswith("csv"):
            np.savetxt(file, X, "%.6f", ",", header=",".join("abcdefghijkl"), comments="")
        else:
            from PIL import Image

            Image.fromarray((255 * X[0]).astype(np.uint8).reshape(4, 3)).save(
                file, self.name.partition(".")[2]
            )
        return [file.getvalue()]

    def mutate(self, rng, content, others):
        return self._mutate(rng, content) if rng.random() < 0.7 else anything(rng, content, others)

    read = staticmethod(lambda path: _as_input(path))


class Settings:
    """A settings file: ``--config FILE``, and the ``config.json`` of a run."""

    def __init__(self, name):
        self.name = name

    def make(self, _folder):
        settings = defaults_for(Config, "digits") | {
            "iterations": None,
            "epochs": 3,
            "clip_norm": 0.5,
            "data_dir": "x",
        }
        settings = {
            name: value for name, value in settings.items() if name not in ("resume", "out", "json", "quiet")
        }
        return [
            json.dumps(settings, indent=1).encode()
            if self.name.endswith("json")
            else mutations.toml_of(settings)
        ]

    def mutate(self, rng, content, others):
        known = mutations.settings_json if self.name.endswith("json") else mutations.settings_toml
        return known(rng, content) if rng.random() < 0.7 else anything(rng, content, others)

    def read(self, path):
        config = Config(
            **defaults_for(Config, "digits") | {"iterations": None, "epochs": 3} | read_file(path, Config)
        )
        config.mlp(64, 10).shapes  # noqa: B018 - only to see that it can be had
        expect(json.dumps(config.__dict__), "no settings")


def _as_input(path):
    """Predict, as the command does but for its turning errors into one line on standard error."""
    run, output = Path("run.safetensors"), Path("probabilities.npy")
    if not run.exists():
        save_model(run, models.make())
    output.unlink(missing_ok=True)
    arguments = [run, "--input", path, "--output", output, "--probabilities", "--quiet"]
    try:
        expect(predict._predict(predict._parse(list(map(str, arguments)))) == 0, "no success")
    finally:
        written = {item.name for item in Path().iterdir() if item.is_file()} - {run.name, output.name}
        expect(not written, f"files left: {written}")
    P = np.load(output)
    expect(P.shape[1:] == (3,) and np.allclose(P.sum(axis=1), 1.0), "no probabilities")


def _digest(model):
    arrays = {**model.params, **model.fitted}
    described = (model.mlp, model.preprocessing, model.class_names, model.image_shape, model.averaging)
    of_outputs = (model.task, model.labels, model.target, model.columns, model.calibration)
    return repr((described, of_outputs, _plain(arrays)))


def _plain(arrays):
    return [
        (n, str(np.asarray(a).dtype), np.shape(a), np.asarray(a).tobytes()) for n, a in sorted(arrays.items())
    ]


KINDS = {
    "model": Models(),
    "checkpoint": Checkpoints(),
    "CIFAR-10, python": Cifar("python", "data_batch_2"),
    "CIFAR-10, python 3": Cifar("python", "test_batch", protocol=4),
    "CIFAR-10, binary": Cifar("binary", "data_batch_2.bin"),
    "CIFAR-10, python.tar.gz": Cifar("python.tar.gz", "cifar-10-python.tar.gz"),
    "CIFAR-10, binary.tar.gz": Cifar("binary.tar.gz", "cifar-10-binary.tar.gz"),
    "CIFAR-10, batches.meta": Cifar("python", "batches.meta"),
    "npz": Npz(),
    "TOML": Settings("settings.toml"),
    "JSON": Settings("config.json"),
    "npy": Inputs("rows.npy", mutations.npy),
    "CSV": Inputs("rows.csv", mutations.table),
    "table": Tables("people.csv", mutations.table),
}
if util.find_spec("pyarrow"):
    KINDS |= {"Parquet": Tables("people.parquet", anything)}
if util.find_spec("PIL"):
    KINDS |= {"PNG": Inputs("image.png", mutations.png), "JPEG": Inputs("image.jpeg", anything)}


# One process that reads


@functools.cache
def good_files():
    """Return the good files of each kind."""
    made = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, kind in KINDS.items():
            folder = Path(scratch, str(len(made)))
            folder.mkdir()
            made[name] = kind.make(folder)
    return made


def mutant(name, seed, number):
    """Return the damaged file of a kind with this number."""
    rng = random.Random(f"{seed} {name} {number}")
    files = good_files()
    others = [content for other, contents in files.items() if other != name for content in contents]
    return KINDS[name].mutate(rng, rng.choice(files[name]), others + files[name])


def outcome(read, path, folder):
    """Read a file; return "loaded", "refused" or what went wrong."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            read(path)
            found = "loaded"
        except InputError as error:
            try:
                _check_message(str(error))
                found = "refused"
            except WrongError as wrong:
                found = f"message: {wrong}"
        except BaseException as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            found = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"[:300]
    if caught:
        found = f"warning: {caught[0].message}"
    if any(Path(place, CANARY).exists() for place in (".", folder, folder.parent)):
        found = "code was run"
    return found


def _check_message(message):
    expect(len(message.splitlines()) == 1, f"not one line: {message!r}")
    expect(len(message) < 2000, f"{len(message)} characters: {message[:200]!r}")
    expect(FIX.search(message), f"no fix: {message!r}")


def serve(seed, jobs):
    """Read the files of ``jobs``, kind and numbers from and to, and print what becomes of each."""
    with contextlib.suppress(ValueError, OSError):  # not every system has this limit
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    good_files()
    forbid_programs()
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        for name, start, stop in jobs:
            folder = Path(scratch, "a", "b")
            folder.mkdir(parents=True)
            path = folder / KINDS[name].name
            for number in range(start, stop):
                path.write_bytes(mutant(name, seed, number))
                print(json.dumps([name, number]), flush=True)
                signal.setitimer(signal.ITIMER_REAL, SECONDS)  # its default is to kill, even in C
                found = outcome(KINDS[name].read, path, folder)
                signal.setitimer(signal.ITIMER_REAL, 0)
                print(json.dumps(found), flush=True)
            shutil.rmtree(folder)
            folder.parent.rmdir()
        print(json.dumps({"peak MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}), flush=True)


def forbid_programs():
    """Make it an error to start any program, which no reader of files has to."""

    def hook(event, arguments):
        if event in ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork"):
            Path(CANARY).touch()
            raise PermissionError(f"{event} {arguments}")

    sys.addaudithook(hook)


# The process that watches


def run(seed, counts, command=None):
    """Read ``counts`` files of each kind; return what became of them, by kind, and the peak memory.

    Parameters
    ----------
    seed
        Of the mutations.
    counts
        Number of files, by kind.
    command
        The process that reads, with the jobs as its last argument; this file by default.

    Returns
    -------
    (dict, float)
        A list of ``(number, outcome)`` for each kind; MiB.
    """
    command = command or [sys.executable, __file__, "--seed", str(seed), "--serve"]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    # Where PYTHONSAFEPATH leaves out a script's own folder.
    paths = (str(Path(__file__).parent), environment.get("PYTHONPATH"))
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    jobs = [[name, 0, count] for name, count in counts.items()]
    outcomes, peak = {name: [] for name in counts}, 0.0
    while jobs:
        done = subprocess.run(
            [*command, json.dumps(jobs)], capture_output=True, text=True, check=False, env=environment
        )
        last = None
        for line in map(json.loads, done.stdout.splitlines()):
            if isinstance(line, list):
                last = line
            elif isinstance(line, str):
                outcomes[last[0]].append((last[1], line))
                jobs = [[last[0], last[1] + 1, jobs[0][2]], *jobs[1:]]
            else:
                peak = max(peak, line["peak MiB"])
            jobs = [job for job in jobs if job[1] < job[2]]
        if not jobs:
            break
        if last != jobs[0][:2]:
            raise RuntimeError(
                f"the process that reads ended before a file ({done.returncode}): {done.stderr}"
            )
        end = "hang" if done.returncode == -signal.SIGALRM else f"crash ({done.returncode})"
        outcomes[last[0]].append((last[1], end))
        jobs = [job for job in ([last[0], last[1] + 1, jobs[0][2]], *jobs[1:]) if job[1] < job[2]]
    return outcomes, peak


def share_out(files):
    """Return how many of so many files are of each kind."""
    return {name: files // len(KINDS) + (i < files % len(KINDS)) for i, name in enumerate(KINDS)}


def markdown_table(outcomes):
    """Return a table of the counts by kind, and a line for each file with another end."""
    lines = ["| kind | files | loaded | refused | other |", "|---|---|---|---|---|"]
    wrong = []
    total = collections.Counter()
    for name, found in outcomes.items():
        count = collections.Counter(end if end in ("loaded", "refused") else "other" for _, end in found)
        lines.append(f"| {name} | {len(found)} | {count['loaded']} | {count['refused']} | {count['other']} |")
        wrong += [f"{name} {n}: {end}" for n, end in found if end not in ("loaded", "refused")]
        total += count
    lines.append(f"| all | {total.total()} | {total['loaded']} | {total['refused']} | {total['other']} |")
    return "\n".join(lines), wrong


def main():
    """Read damaged files and print what became of them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=10000, help="of all kinds together (default: 10000)")
    parser.add_argument("--seed", type=int, default=1, help="of the mutations (default: 1)")
    parser.add_argument("--kind", choices=KINDS, help="only this kind")
    parser.add_argument(
        "--number", type=int, help="with --kind: only this file, shown and read in this process"
    )
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.serve:
        serve(flags.seed, json.loads(flags.serve))
        return 0
    if flags.number is not None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, KINDS[flags.kind].name)
            path.write_bytes(mutant(flags.kind, flags.seed, flags.number))
            print(path.read_bytes()[:2000])
            KINDS[flags.kind].read(path)
        return 0
    began = time.perf_counter()
    outcomes, peak = run(flags.seed, {flags.kind: flags.files} if flags.kind else share_out(flags.files))
    table, wrong = markdown_table(outcomes)
    print(
        table,
        f"\nseed {flags.seed}, {time.perf_counter() - began:.0f} s, at most {peak:.0f} MiB",
        *wrong,
        sep="\n",
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
