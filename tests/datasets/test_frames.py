"""Tables from files: what is found out about them, and what is refused in one line."""

import gzip
import os
import random
import subprocess
import sys

import mutations
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpnet.columns.columns import Columns, numbers
from xpnet.datasets.frames import is_table, read_parts, read_table
from xpnet.errors import InputError

pa = pytest.importorskip("pyarrow", reason="tables need the tables extra")
from pyarrow import feather, ipc, parquet  # noqa: E402

TABLE = {"age": [20, 31, None, 47], "city": ["Bern", "Rom", "Bern", None], "ok": [True, False, True, None]}
CSV = "age,city,ok\n20,Bern,true\n31,Rom,false\n,Bern,true\n47,NA,?\n"


def write(folder, content, name="a.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def matrix_of(path, notes=None, **options):
    notes = [] if notes is None else notes
    frame = read_table(path, note=notes.append, **options)
    columns = Columns.infer(frame, note=notes.append)
    return columns, columns.matrix(frame)


def refusal(path, **options):
    with pytest.raises(InputError) as caught:
        matrix_of(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.isprintable()
    assert ": " in message
    return message.replace(f"{path}", "FILE")


EXPECTED = [[20, 0, 1], [31, 1, 0], [np.nan, 0, 1], [47, np.nan, np.nan]]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", CSV.encode()),
        ("a.CSV", CSV.encode("utf-8-sig")),
        ("a.csv", CSV.encode("utf-16")),
        ("a.csv", b"\xfe\xff" + CSV.encode("utf-16-be")),
        ("a.csv", CSV.replace(",", ";").encode()),
        ("a.txt", CSV.replace(",", "|").encode()),
        ("a.tsv", CSV.replace(",", "\t").encode()),
        ("a.csv", CSV.replace(",", ", ").replace("\n", "\r\n").encode()),
        ("a.csv", CSV.replace("\n", "\r").encode()),
        ("a.csv", CSV.replace("Bern", '"Bern"').rstrip("\n").encode()),
        ("a.csv", ("\n\n" + CSV + "\n\n").encode()),
        ("a.csv", ("sep=;\n" + CSV.replace(",", ";")).encode("utf-16")),
        ("a.csv", ('"SEP=|"\r' + CSV.replace(",", "|").replace("\n", "\r")).encode()),
        ("a.csv.gz", gzip.compress(CSV.encode(), mtime=0)),
        ("a.tsv.gz", gzip.compress(CSV.replace(",", "\t").encode("utf-16"), mtime=0)),
    ],
)
def test_text_files_of_every_kind(tmp_path, name, content):
    path = write(tmp_path, content, name)
    notes = []
    columns, X = matrix_of(path, notes)
    assert [column.name for column in columns.columns] == ["age", "city", "ok"]
    assert columns.columns[1].categories == ("Bern", "Rom")
    np.testing.assert_array_equal(X, EXPECTED)
    assert not notes


def write_arrow(path, table):
    if path.suffix == ".parquet":
        parquet.write_table(table, path)
    elif path.suffix == ".feather":
        feather.write_feather(table, path)
    else:
        with ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table)


@pytest.mark.parametrize("name", ["a.parquet", "a.feather", "a.arrow"])
def test_arrow_files_of_every_kind(tmp_path, name):
    write_arrow(tmp_path / name, pa.table(TABLE))
    np.testing.assert_array_equal(matrix_of(tmp_path / name)[1], EXPECTED)
    assert is_table(tmp_path / name)


@pytest.mark.parametrize("kind", ["Categorical", "String"])
def test_text_as_polars_writes_it(tmp_path, kind):
    polars = pytest.importorskip("polars")
    values = ["a", "b", None, "a"]
    frame = polars.DataFrame({"a": polars.Series(values).cast(getattr(polars, kind))})
    frame.write_ipc(tmp_path / "a.arrow")
    np.testing.assert_array_equal(matrix_of(tmp_path / "a.arrow")[1], [[0], [1], [np.nan], [0]])


def test_the_index_of_pandas_is_no_column(tmp_path):
    pandas = pytest.importorskip("pandas")
    pandas.DataFrame({"a": [1, 2]}, index=["x", "y"]).to_parquet(tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet").names == ("a",)


def test_western_text_is_read_with_a_note(tmp_path):
    notes = []
    columns, _ = matrix_of(write(tmp_path, "a;b\n1;Zürich\n2;Genève\n".encode("cp1252")), notes)
    assert columns.columns[1].categories == ("Genève", "Zürich")
    assert "cp1252" in notes[0]
    late = b"a,b\n" + b"1,x\n2,y\n" * 200_000 + "3,é\n4,é\n".encode("latin-1")
    assert matrix_of(write(tmp_path, late))[0].columns[1].categories == ("x", "y", "é")


def test_quoted_text_keeps_delimiters_lines_and_quotes(tmp_path):
    path = write(tmp_path, 'a,b\n1,"x, ""y""\nz"\n2,w\n3,5" pipe\n')
    assert matrix_of(path)[0].columns[1].categories == ('5" pipe', "w", 'x, "y"\nz')


@pytest.mark.parametrize(
    ("first", "names", "noted"),
    [
        ("a,b,c,d", "a b c d", False),
        ("7,red,1.5,9", "0 1 2 3", True),
        ("5.1,red,3,4", "0 1 2 3", True),
        ("0,1,2,3", "0 1 2 3", True),
        ("a,2019,x,2021", "a 2019 x 2021", True),
        (",b,c,d", "Unnamed:_0 b c d", False),
    ],
)
def test_a_header_is_guessed(tmp_path, first, names, noted):
    notes = []
    path = write(tmp_path, f"{first}\n5,red,1.5,8\n6,blue,2.5,9\n")
    frame = read_table(path, note=notes.append)
    assert [name.replace(" ", "_") for name in frame.names] == names.split()
    assert bool(notes) == noted
    is_data = first[0] in "57"
    assert len(frame) == 2 + is_data
    assert len(read_table(path, header=True)) == 2
    assert len(read_table(path, header=False)) == 3


@pytest.mark.parametrize(
    ("first", "said", "names"),
    [
        ("1,2,t", {"t"}, "1 2 t"),
        ("1,2,t", {"2"}, "1 2 t"),
        ("1,2,t", set(), "0 1 2"),
        ("2019,2020,2021", {"2020"}, "2019 2020 2021"),
        ("0,1,t", {"1"}, "0 1 2"),  # which is that column in either reading
        ("2,1,t", {"2"}, "0 1 2"),
        ("1,2.5,t", {"1"}, "0 1 2"),
        ("3,1,2", {"0"}, "0 1 2"),
    ],
)
def test_names_that_a_user_gives_tell_a_header(tmp_path, first, said, names):
    path = write(tmp_path, f"{first}\n5,6,a\n7,8,b\n")
    assert read_table(path, note=lambda _: None, said=said).names == tuple(names.split())


PLAIN = "oak,tall\noak,low\nelm,tall\nelm,low\n"
TEXTS = PLAIN.replace("\n", ",.5\n")
YEARS = "".join(f"{k % 5},{k % 3},{'up' if k % 2 else 'down'}\n" for k in range(20))


@pytest.mark.parametrize(
    ("first", "below", "is_named", "noted"),
    [
        ("tree,height", PLAIN, True, False),
        ("oak,tall", PLAIN, False, True),
        ("ash,tall", PLAIN, None, None),  # one for each
        ("tree,height,tall", "oak,x,low\nelm,y,tall\noak,x,tall\nelm,y,low\n", True, True),  # two of three
        ("ann,rome", "bob,bern\ncyd,bonn\n", True, True),  # nothing says
        ("oak,,", TEXTS, False, True),
        ("oak,NA,2", TEXTS, False, True),
        ("tree,height,5", "oak,tall,1\noak,low,2\nelm,tall,3\nelm,low,1\n", None, None),
        ("tree,height,2", "oak,tall,1\noak,low,2\nelm,tall,3\nelm,low,1\n", False, True),
        ("2019,2020,cls", YEARS, None, None),
        ("2021,2017,cls", YEARS, None, None),
        ("0,1,cls", YEARS, None, None),
        ("1,2,down", YEARS, False, True),
        ("2019,2020,2021", "4,1,0\n3,9,2\n", None, None),
        ("2021,2017,2023", "4,1,0\n3,9,2\n", None, None),
        ("2019,2020,2021", "1980,2022,1947\n2019,2001,1990\n", None, None),
        ("2020,7,2", "2019,8,1\n2020,7,3\n", False, True),
        ("site,2019,2020", "a,3,4\nb,5,6\n", None, None),
        ("2020-01-31,2020-02-29", "3,4\n7,5\n", True, True),
        (",0,1,2,3", "0,.1,.2,.3,.4\n", True, True),
        ("3,7", ".1,.2\n.5,.6\n", None, None),
        ("3,7", "1.5,8.5\n4.5,2.5\n", False, True),
        (",,", TEXTS, None, None),
    ],
)
def test_what_a_first_line_of_training_rows_is(tmp_path, first, below, is_named, noted):
    notes, path = [], write(tmp_path, f"{first}\n{below}")
    if is_named is None:
        with pytest.raises(InputError, match="give --header or --no-header"):
            read_table(path)
        assert len(read_table(path, header=False)) == below.count("\n") + 1
        return
    frame = read_table(path, note=notes.append)
    assert (frame.is_named, len(frame)) == (is_named, below.count("\n") + (not is_named))
    assert bool(notes) == noted
    assert all(f"{'--no-header' if is_named else '--header'} if it " in note for note in notes)


def test_a_row_that_a_user_takes_for_names(tmp_path):
    path = write(tmp_path, "oak,tall\noak,low\nelm,tall\noak,tall\nelm,low\n")
    with pytest.raises(InputError, match="may hold column names or data, oak, tall: give"):
        read_table(path, said={"tall"})
    assert len(read_table(path, note=lambda _: None, said={"1"})) == 5


def test_known_names_tell_a_header(tmp_path):
    path = write(tmp_path, "2019,city\n5,Rom\n6,Bern\n")
    like = Columns.infer({"2019": [1, 2], "city": ["Rom", "Bern"]})
    notes = []
    np.testing.assert_array_equal(like.matrix(read_table(path, None, notes.append, like)), [[5, 1], [6, 0]])
    assert not notes


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("1,2,0\n6,7,5\n", [5, 6, 7]),
        ("2,7,0,1\n7,9,5,6\n", [5, 6, 7]),
        ("5,6,7\n", [5, 6, 7]),
        ("1,1,0\n", [1, 1, 0]),
    ],
)
def test_known_names_that_are_numbers_tell_a_header_in_any_order(tmp_path, text, row):
    like, notes = Columns.infer({"0": [1, 2], "1": [3, 4], "2": [5, 6]}), []
    found = like.matrix(read_table(write(tmp_path, text), None, notes.append, like))
    assert found.tolist() == [row]
    assert len(notes) == 1


PARTS = {"n": list(range(100)), "s": [None if k % 7 == 0 else "ABC"[k % 3] for k in range(100)]}


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet", "a.feather", "a.arrow"])
@pytest.mark.parametrize("count", [1, 7, 50, 100, 1000])
def test_parts_are_the_whole(tmp_path, name, count):
    path = tmp_path / name
    if ".csv" in name:
        text = "n,s\n" + "".join(f"{n},{s or ''}\n" for n, s in zip(*PARTS.values(), strict=True))
        path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    else:
        write_arrow(path, pa.table(PARTS))
    columns, X = matrix_of(path)
    parts = list(read_parts(path, count, columns))
    assert [len(part) for part in parts[:-1]] == [count] * (len(parts) - 1)
    np.testing.assert_array_equal(np.concatenate([columns.matrix(part) for part in parts]), X)


def test_single_spaces_are_a_delimiter_and_several_are_refused(tmp_path):
    columns, X = matrix_of(write(tmp_path, 'age city\n20 "New York"\n31 Bern\n47 Rom\n'))
    assert [column.name for column in columns.columns] == ["age", "city"]
    assert columns.columns[1].categories == ("Bern", "New York", "Rom")
    np.testing.assert_array_equal(X[:, 0], [20, 31, 47])
    aligned = refusal(write(tmp_path, "  1.0   2.0  a\n 10.5   3.0  b\n"))
    assert aligned.startswith(
        "FILE has several spaces between its columns: put a comma there, as pandas.read_csv("
    )
    assert matrix_of(write(tmp_path, "city\nNew York\nLos Angeles\nRom\n"))[0].names == ("city",)


def test_a_line_is_named_below_one_that_names_the_delimiter(tmp_path):
    path = write(tmp_path, "sep=;\na;b;c\n1;2;3\n3;4\n")
    assert "line 4 has 2 fields and the first has 3" in refusal(path)
    path = write(tmp_path, "sep=;\na;b\n" + "1;2\n" * 9 + "x;4\n")
    assert "holds 'x' in line 12" in refusal(path)


def test_a_message_names_the_line(tmp_path):
    path = write(tmp_path, "a,b\n" + "1,2\n" * 50 + "1,x\n")
    assert "holds 'x' in line 52, which is no number" in refusal(path)
    assert "--categorical b" in refusal(path)
    parts = read_parts(path, 10, numbers(2))
    with pytest.raises(InputError, match="'x' in line 52"):
        [numbers(2).matrix(part) for part in parts]
    quoted = write(tmp_path, 'a,b\n"1",2\n1,2\n1,x\n')
    assert "in line 4" in refusal(quoted)
    longer = write(tmp_path, 'a,b\n1,"2\n"\n1,2\n\n1,x\n')
    assert "in line 6" in refusal(longer)
    with pytest.raises(InputError, match="'x' in line 6"):
        [numbers(2).matrix(part) for part in read_parts(longer, 1, numbers(2))]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"a,b\n", "no rows"),
        (b"a,b\n1,2\n1,2,3\n", "line 3 has 3 fields and the first has 2"),
        (b"a,b\n1,2\n\n1\n", "line 4 has 1 fields"),
        (b"a,a\n1,2\n", "two columns named 'a'"),
        (b'a,b\n1,"2\n3,4\n', "the quotes in line 2 do not end"),
        (b"a,b\n1,\0\n", "is not text"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe\0\1", "is not text"),
        (b"\x89\xff\x01\x02", "is not text"),
        ("a,b\n1,2\n".encode("utf-16-le"), "is not text"),
        ("a,b\n1,2\n".encode("utf-16")[:-1], "is not text"),
        ("a,b\n1,2\n".encode("utf-32"), "save it in UTF-8"),
    ],
)
def test_text_files_that_are_none(tmp_path, content, reason):
    assert reason in refusal(write(tmp_path, content))


def test_files_that_are_none(tmp_path):
    for name in ("a.parquet", "a.feather", "a.csv.gz"):
        assert "is empty" in refusal(write(tmp_path, b"", name))
        assert "can" in refusal(write(tmp_path, b"PAR1 what ever PAR1", name))
        path = tmp_path / name
        if name.endswith("gz"):
            path.write_bytes(gzip.compress(CSV.encode()))
        else:
            write_arrow(path, pa.table(TABLE))
        whole = path.read_bytes()
        for size in (5, len(whole) // 2, len(whole) - 1):
            assert "FILE" in refusal(write(tmp_path, whole[:size], name))
    assert "is not a table" in refusal(tmp_path / "a.png")
    assert "there is no FILE" in refusal(tmp_path / "b.csv")
    (tmp_path / "folder.csv").mkdir()
    assert "is a folder" in refusal(tmp_path / "folder.csv")
    write_arrow(tmp_path / "c.parquet", pa.table({"a": pa.array([], pa.int64())}))
    assert "no rows" in refusal(tmp_path / "c.parquet")
    write_arrow(tmp_path / "c.parquet", pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]))
    assert "two columns named 'a'" in refusal(tmp_path / "c.parquet")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path):
    path = write(tmp_path, CSV)
    path.chmod(0)
    assert "cannot be read (Permission denied)" in refusal(path)


def test_a_file_that_an_error_of_the_system_hides(tmp_path, monkeypatch):
    path = write(tmp_path, CSV)

    def refuse(*_args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("xpnet.datasets.delimited.opened", refuse)
    assert refusal(path) == "FILE cannot be read (Permission denied): give another file, or save it again"


def test_an_encrypted_file(tmp_path):
    encryption = pytest.importorskip("pyarrow.parquet.encryption")

    class Client(encryption.KmsClient):
        def __init__(self, _config):
            super().__init__()

        def wrap_key(self, key, _name):
            return key.hex()

        def unwrap_key(self, key, _name):
            return bytes.fromhex(key)

    factory = encryption.CryptoFactory(Client)
    config = encryption.EncryptionConfiguration(footer_key="key", uniform_encryption=True)
    properties = factory.file_encryption_properties(encryption.KmsConnectionConfig(), config)
    with parquet.ParquetWriter(
        tmp_path / "a.parquet", pa.table(TABLE).schema, encryption_properties=properties
    ) as writer:
        writer.write_table(pa.table(TABLE))
    assert "is encrypted: save it without a password" in refusal(tmp_path / "a.parquet")


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert 'needs pyarrow: pip install "xpnet[tables]"' in refusal(write(tmp_path, CSV))


FIELD = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=6)


@given(st.lists(st.tuples(FIELD, FIELD), min_size=1, max_size=8), st.sampled_from(",;\t|"))
@settings(max_examples=100)
def test_any_text_comes_back_as_it_was(tmp_path_factory, rows, delimiter):
    import csv

    path = tmp_path_factory.mktemp("any") / "a.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL)
        writer.writerows([("first", "second"), *rows])
    frame = read_table(path, note=lambda _: None)
    gaps = {"", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "#N/A", "<NA>", "?"}
    found = [column.to_native().to_pylist() for column in frame.columns.values()]
    assert list(zip(*found, strict=True)) == [tuple(None if f in gaps else f for f in row) for row in rows]


FUZZ = """
import faulthandler, sys, warnings
faulthandler.enable()
warnings.simplefilter("error")
sys.path[:0] = sys.argv[4:]
from datasets_test_frames import damage
damage(sys.argv[1], int(sys.argv[2]), sys.argv[3])
"""


def good_files(kind):
    if kind == "csv":
        lines = [f'{20 + k},"{"ABC"[k % 3]}",2020-0{k % 9 + 1}-03 1{k % 9}:00,{k * 0.5}\n' for k in range(30)]
        text = "age,city,when,y\n" + "".join(lines)
        return [text.encode(), text.replace('"', "").encode(), text.encode("utf-16")]
    table = pa.table(
        {
            "n": range(30),
            "s": [None if k % 7 == 0 else "ABC"[k % 3] for k in range(30)],
            "c": pa.array(["xy"[k % 2] for k in range(30)]).dictionary_encode(),
            "t": pa.array([k * 10**14 for k in range(30)], pa.timestamp("us", "UTC")),
        }
    )
    files = []
    for codec in ("snappy", "none"):
        sink = pa.BufferOutputStream()
        parquet.write_table(table, sink, compression=codec)
        files.append(sink.getvalue().to_pybytes())
    return files


def damage(kind, count, folder):
    """Read damaged files, and print what is neither read nor refused in one line."""
    from pathlib import Path

    path, files = Path(folder, f"a.{kind}"), good_files(kind)
    for number in range(count):
        rng = random.Random(f"{kind} {number}")
        content = rng.choice(files)
        made = (
            mutations.table(rng, content)
            if kind == "csv" and rng.random() < 0.5
            else mutations.anything(rng, content, files)
        )
        path.write_bytes(made)
        try:
            frame = read_table(path, note=str)
            columns = Columns.infer(frame, note=str)
            X = columns.matrix(frame)
            assert X.shape == (len(frame), len(columns.columns))
            if number % 5 == 0:
                parts = [columns.matrix(part) for part in read_parts(path, 7, columns, note=str)]
                assert np.array_equal(np.concatenate(parts), X, equal_nan=True)
                columns.overview(X)
        except InputError as error:
            message = str(error)
            if len(message.splitlines()) != 1 or not message.isprintable() or len(message) > 1000:
                print(number, repr(message))
        except Exception as error:
            print(number, repr(error))
    print("done")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_damaged_files_are_read_or_refused(tmp_path, kind):
    """In a process of its own, for which a crash would be the end."""
    from pathlib import Path

    here = Path(__file__)
    (tmp_path / "datasets_test_frames.py").write_text(here.read_text("utf-8"), "utf-8")
    command = [sys.executable, "-c", FUZZ, kind, "2000", tmp_path, tmp_path, here.parent.parent]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr
