"""What columns of a table are, the matrix that they become, and what is to be predicted of them."""

import contextlib
import datetime
import decimal
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpnet.columns import words
from xpnet.columns.columns import Column, Columns, likely_target, numbers, row_values, take_target
from xpnet.columns.tabular import as_frame
from xpnet.errors import InputError

NAN = np.nan
DATE = datetime.datetime(2020, 1, 2, 3, 4)
UTC = datetime.UTC


def infer(frame, notes=None, **options):
    notes = [] if notes is None else notes
    columns = Columns.infer(frame, note=notes.append, **options)
    assert Columns.from_json(json.loads(json.dumps(columns.as_json()))) == columns
    return columns


def encode(values, notes=None, **options):
    """Return the only column of a table, and its numbers."""
    columns = infer({"a": values, "other": np.arange(len(values))}, notes, **options)
    X = columns.matrix({"a": values, "other": np.arange(len(values))})
    return columns.columns[0], X[:, 0].tolist()


def refusal(call, *args, **options):
    with pytest.raises(InputError) as caught:
        call(*args, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def same(found, expected):
    np.testing.assert_array_equal(np.array(found, float), np.array(expected, float))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, None], [1, 2, NAN]),
        ([1.5, NAN, 2], [1.5, NAN, 2]),
        (["1", " 2 ", "?"], [1, 2, NAN]),
        (["1e3", "-.5", "+7"], [1000, -0.5, 7]),
        (["01", "1.0", "2"], [1, 1, 2]),
        ([True, False, None], [1, 0, NAN]),
        (["true", "FALSE", "NA"], [1, 0, NAN]),
        ([decimal.Decimal("1.5"), decimal.Decimal("NaN"), 2], [1.5, NAN, 2]),
        ([datetime.timedelta(1), None, datetime.timedelta(hours=12)], [1, NAN, 0.5]),
        ([datetime.time(6), datetime.time(12)], [0.25, 0.5]),
        (np.array([1, 2], "m8[D]"), [1, 2]),
        (np.array([1, 2], np.uint8), [1, 2]),
        ([2**70, 1], [2.0**70, 1]),
        (["1", 2, 3.0], [1, 2, 3]),
    ],
)
def test_numbers(values, expected):
    column, found = encode(values)
    assert (column.kind, column.part) == ("number", "")
    same(found, expected)


@pytest.mark.parametrize(
    ("values", "categories", "codes"),
    [
        (["b", "a", None, " a"], ("a", "b"), [1, 0, NAN, 0]),
        (["x", 1, 1.0, "1", "x", "x"], ("1", "x"), [1, 0, 0, 0, 1, 1]),
        ([True, "x", "x"], ("True", "x"), [0, 1, 1]),
        (np.array(["b", "a"]), ("a", "b"), [1, 0]),
        (["10", "9", "b", "c", "c"], ("9", "10", "b", "c"), [1, 0, 2, 3, 3]),
    ],
)
def test_categories(values, categories, codes):
    column, found = encode(values)
    assert (column.kind, column.categories) == ("category", categories)
    same(found, codes)


@pytest.mark.parametrize(
    "values",
    [
        ["2020-01-02", "2020-01-03T06:00", ""],
        ["2020-01-02 00:00", "2020-01-03 06:00:00.000000", "NaN"],
        [datetime.datetime(2020, 1, 2), datetime.datetime(2020, 1, 3, 6), None],
        [np.datetime64("2020-01-02"), np.datetime64("2020-01-03T06"), np.datetime64("NaT", "D")],
        np.array(["2020-01-02T00", "2020-01-03T06", "NaT"], "M8[h]"),
        np.array(["2020-01-02T00", "2020-01-03T06", "NaT"], "M8[ns]"),
        ["2020-01-02T02:00+02:00", "2020-01-02T23:00-0700", None],
        ["2020-01-02T00:00Z", "2020-01-03 08:00:00+02", None],
    ],
)
def test_dates_become_days_and_the_parts_that_vary(values):
    columns = infer({"when": values})
    assert [c.name for c in columns.columns] == ["when", "when (weekday)", "when (hour)"]
    assert columns.sources == ("when",)
    day = 18263
    same(columns.matrix({"when": values}), [[day, 3, 0], [day + 1.25, 4, 6], [NAN] * 3])


def test_parts_of_dates_by_python():
    every = [
        datetime.datetime(1901, 3, 1) + datetime.timedelta(days=37 * k, hours=5 * k) for k in range(2000)
    ]
    X = infer({"d": every}).matrix({"d": every})
    same(X[:, 1:], [[d.month, d.weekday(), d.hour] for d in every])
    since = [(d - datetime.datetime(1970, 1, 1)) / datetime.timedelta(1) for d in every]
    np.testing.assert_allclose(X[:, 0], since, rtol=1e-15)


def test_dates_keep_to_what_they_were_in_training():
    plain = infer({"d": ["2020-01-01", "2020-02-03"]})
    assert "write" not in refusal(plain.matrix, {"d": ["2020-01-01T00:00Z"]})
    assert "give dates" in refusal(plain.matrix, {"d": ["2020-01-01T00:00Z"]})
    assert "holds numbers" in refusal(plain.matrix, {"d": [5]})
    assert "'x' in row 1, which is no date" in refusal(plain.matrix, {"d": ["2020-01-01", "x"]})
    assert "which is no date" in refusal(plain.matrix, {"d": ["2020-02-30"]})
    same(plain.matrix({"d": [None, "?"]}), np.full((2, 3), NAN))
    mixed = ["2020-01-01", "2020-01-01T00:00Z"]
    assert "without a zone in row 0" in refusal(infer, {"d": mixed})
    objects = [datetime.datetime(2020, 1, 1, tzinfo=UTC), datetime.date(2020, 1, 2)]
    assert "without a zone in row 1" in refusal(infer, {"d": objects})
    assert "holds dates" in refusal(numbers(1).matrix, {"0": ["2020", DATE]} | {"0": [DATE]})
    durations = infer({"d": [datetime.timedelta(1), datetime.timedelta(2)]})
    assert "give durations" in refusal(durations.matrix, {"d": [1, 2]})


def test_gaps_in_every_spelling():
    column, found = encode([*words.GAPS, " NA ", None, NAN, "x", "y"])
    assert column.categories == ("x", "y")
    same(found, [NAN] * (len(words.GAPS) + 3) + [0, 1])


def test_new_categories_are_unknown_and_others_match_by_what_they_say():
    columns = infer({"a": [1, 2, 3]}, categorical=["a"])
    assert columns.columns[0].categories == ("1", "2", "3")
    new = [1, "1", 1.0, "1.0", "01", " 3", 4, "x", None, np.int8(2), decimal.Decimal(2), True]
    same(columns.matrix({"a": new})[:, 0], [0, 0, 0, 0, 0, 2, -1, -1, NAN, 1, 1, -1])
    same(columns.matrix({"a": np.array([1.0, NAN, 2.5])})[:, 0], [0, NAN, -1])
    flags = infer({"a": [True, False]}, categorical=["a"])
    same(flags.matrix({"a": ["true", "False", "TRUE", "no"]})[:, 0], [1, 0, 1, -1])
    same(flags.matrix({"a": np.array([True, False])})[:, 0], [1, 0])
    codes = infer({"a": ["01", "1", "2"]}, categorical=["a"])
    same(codes.matrix({"a": ["01", "1", 1, "02"]})[:, 0], [0, 1, 1, 2])


@pytest.mark.parametrize(("known", "new"), [([True, False], [1, 0]), ([0, 1], [True, False])])
def test_categories_true_and_1_are_one_where_there_are_no_others(known, new):
    columns = infer({"a": known}, categorical=["a"])
    codes = columns.matrix({"a": known})[:, 0].tolist()
    expected = dict(zip(map(bool, known), codes, strict=True))
    for values in (new, list(map(str, new)), np.array(new), [str(value).lower() for value in new]):
        same(columns.matrix({"a": values})[:, 0], [expected[bool(value)] for value in new])
    same(columns.matrix({"a": [2, "yes"]})[:, 0], [-1, -1])
    more = infer({"a": [0, 1, 2]}, categorical=["a"])
    same(more.matrix({"a": [True, "false"]})[:, 0], [-1, -1])


def test_codes_with_leading_zeros_are_numbers_unless_they_are_named():
    codes = ["007", "7", "010", "007"]
    same(encode(codes)[1], [7, 7, 10, 7])
    column, found = encode(codes, categorical=["a"])
    assert column.categories == ("007", "7", "010")
    same(found, [0, 1, 2, 0])


def test_categories_that_pandas_makes_of_intervals():
    pandas = pytest.importorskip("pandas")
    cut = pandas.cut(pandas.Series([0.5, 1.5, 0.7]), [0, 1, 2])
    assert encode(cut)[0].categories == ("(0, 1]", "(1, 2]")


def test_large_integers_stay_apart_as_categories():
    ids = [2**60, 2**60 + 1, 2**60]
    columns = infer({"a": np.array(ids)}, categorical=["a"])
    assert columns.columns[0].categories == (str(2**60), str(2**60 + 1))
    same(columns.matrix({"a": list(map(str, ids))})[:, 0], [0, 1, 0])


def test_what_says_nothing_is_left_out_with_a_note():
    notes = []
    ids = [f"id{k}" for k in range(100)]
    table = {"same": [1] * 100, "word": ["x"] * 100, "none": [None] * 100, "id": ids, "n": [1, 2] * 50}
    columns = infer(table, notes)
    assert [column.name for column in columns.columns] == ["n"]
    assert columns.names == tuple(table)
    assert len(notes) == 3
    assert any("same, word" in note for note in notes)
    assert any("differs in nearly every row: id" in note for note in notes)
    assert "no column is left" in refusal(infer, {"a": [1, 1]})
    many = []
    infer({f"c{k}": [1, 1] for k in range(300)} | {"n": [1, 2]}, many)
    assert len(many) == 1
    assert len(many[0]) < 200
    assert [c.kind for c in infer({"a": [1, None], "b": ["x", None]}).columns] == ["number", "category"]


def numbered(name, values, notes, **options):
    """Return which of the columns of this name and another one are inputs."""
    table = {name: values, "x": np.arange(len(values)) % 5}
    return [column.name for column in infer(table, notes, **options).columns]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Unnamed: 0",
        "Unnamed: 0.1",
        "ID",
        "index",
        "Row",
        "row_id",
        "RowID",
        "row number",
        "No.",
        "nr",
        "#",
        "customer_id",
        "PassengerId",
        "level_0",
    ],
)
def test_numbers_of_rows_are_left_out_with_a_note(name):
    for values in (range(30), range(1, 31), [str(k) for k in range(7, 37)], np.arange(30.0)[::-1]):
        notes = []
        assert numbered(name, values, notes) == ["x"]
        assert notes == [f"left out as row numbers (keep them with --numeric): {name}"]
    assert numbered(name, range(30), notes := [], numeric=[name]) == [name, "x"]
    assert notes == []
    assert numbered(name, range(30), notes, ignore=[name]) == ["x"]
    assert notes == []


@pytest.mark.parametrize("name", ["year", "paid", "n", "grid", "idea", "nose", "COVID", "rowing", "mid"])
def test_numbers_of_rows_by_another_name_stay_with_a_note(name):
    notes = []
    assert numbered(name, range(1990, 2020), notes) == [name, "x"]
    says = f"may be row numbers; leave it out with --ignore if it tells nothing about new rows: {name}"
    assert notes == [says]


@pytest.mark.parametrize(
    "values",
    [
        range(19),
        [0, *range(2, 31)],
        [*range(29), None],
        [0.5 + k for k in range(30)],
        range(0, 60, 2),
        np.random.default_rng(0).permutation(30),
        np.arange(30).astype("m8[D]"),
    ],
)
def test_what_counts_no_rows_stays_without_a_word(values):
    assert numbered("id", values, notes := []) == ["id", "x"]
    assert notes == []


def test_rows_without_a_target_count_as_well():
    table = {"id": range(40), "x": [1, 2] * 20, "y": [None, "a", "b", "a"] * 10}
    frame = take_target(table, "y", note=lambda _: None).frame
    notes = []
    assert infer(frame, notes).names == ("id", "x")
    assert notes == ["left out as row numbers (keep them with --numeric): id"]
    notes.clear()
    assert infer([[k, k % 3] for k in range(30)], notes).columns[0].name == "0"
    assert notes == []  # columns of an array have no names


def test_free_text_is_refused():
    texts = [f"this is the review of a customer who bought number {k}" for k in range(30)]
    assert "--ignore 'my review'" in refusal(infer, {"my review": texts})
    assert not infer({"my review": texts, "n": range(30)}, ignore=["my review"]).columns[1:]
    names = [f"Braund, Mr. Owen {k}" for k in range(30)]
    assert len(infer({"name": names, "n": range(30)}).columns) == 1


def test_rare_categories_count_as_unknown():
    notes = []
    values = [f"v{k}" for k in range(1500) for _ in range(3 if k < 5 else 2)] + ["once"]
    column, codes = encode(values, notes)
    assert len(column.categories) == 1000
    assert {"v0", "v4", "v999"} <= set(column.categories)
    assert codes[-1] == -1
    assert codes.count(-1) == 2 * 500 + 1
    assert "a (501 of 1,501)" in notes[0]
    assert "no value that occurs" in refusal(infer, {"a": [f"x{k}" for k in range(50)]}, categorical=["a"])


def test_a_great_many_categories():
    values = np.array([f"v{k % 140_000}" for k in range(200_000)], object)
    column, codes = encode(values)
    assert len(column.categories) == 1000
    assert np.count_nonzero(np.array(codes) >= 0) == 2000


def test_a_slip_in_a_column_of_numbers_is_named():
    message = refusal(infer, {"my age": [*range(50), "x", *range(50)]})
    assert message.startswith("column 'my age' holds 'x' in row 50, which is no number: ")
    assert "--categorical 'my age'" in message
    assert encode([1, "x", "y", "z"])[0].kind == "category"
    assert encode([1, 1, "x"], categorical=["a"])[0].kind == "category"
    assert "'x' in row 0" in refusal(infer, {"a": ["x", "y", "1"]}, numeric=["a"])
    assert "'soon' in row 2, which is no date" in refusal(infer, {"a": ["2020-01-01", "2020-01-02", "soon"]})
    numeric = infer({"a": [1, 2]})
    assert "holds 'x' in row 1" in refusal(numeric.matrix, {"a": [1, "x"]})
    assert "holds 'true'" in refusal(numeric.matrix, {"a": ["1", "true"]})
    same(infer({"a": ["true", "false"]}).matrix({"a": ["1", "True"]}), [[1], [1]])


@pytest.mark.parametrize(
    ("values", "advice"),
    [
        (["1,5", "2,5", "3,25"], "decimals with a point"),
        (["1,234.5", "1,234,567", "12,000.1"], "without separators"),
        (["1,956", "2,100", "200"], "write thousands without a comma, or decimals with a point"),
        (["31.12.2020", "1.2.2021", "3.4.2021"], "2020-12-31"),
        (["12/31/2020", "1/2/2021 10:00", "x"], "2020-12-31"),
        (["7", "3,14", "2", "1.000,5"], "column 'a' holds '3,14': write decimals with a point"),
        (
            ["7", "2", "3", "1,234.5"],
            "'1,234.5' in row 3, which is no number: write numbers without separators",
        ),
        (["1.000.000", "2.500,75"], "without separators, and decimals with a point"),
        (["1 234", "12 000,5", "7"], "write numbers without separators"),
        (["12\u202f000,5", "1\u00a0234"], "without separators, and decimals with a point"),
        (["1\u2009234", "1’234.5"], "write numbers without separators"),
        (["$17.29", "$1,204", "-$3"], "'$17.29': write plain numbers, without the sign, or --categorical"),
        (["€ 17", "£17", "17 €", "1.204,50 €", "¥5", "5¥"], "write plain numbers, without the sign"),
        (["12%", "3.5 %", "-.5%", "12"], "'12%': write plain numbers, without the sign, or --categorical"),
        (["1 days 00:00:00", "-1 days +23:59:59.5"], "write durations as numbers, for example of days"),
    ],
)
def test_what_only_some_countries_write_is_refused(values, advice):
    assert advice in refusal(infer, {"a": values})
    assert encode(values * 2, categorical=["a"])[0].kind == "category"


@pytest.mark.parametrize("bad", [np.inf, "inf", "-Infinity", 1e400, 10**400, "1e999"])
def test_infinity_is_refused(bad):
    message = refusal(infer, {"a": [1, None, bad]})
    assert message.startswith("column 'a' holds an infinity in row 2")
    assert "in row 1" in refusal(numbers(1).matrix, {"0": [1, bad]})


@pytest.mark.parametrize("bad", [1e300, "-1e300", 10**300])
def test_numbers_that_no_network_holds_are_refused(bad):
    message = f"column 'a' holds {float(bad):.6g}, more than 1e+150, in row 2: leave the value empty"
    assert refusal(infer, {"a": [1, None, bad]}) == message
    assert refusal(infer({"a": [1, 2]}).matrix, {"a": [1, None, bad]}) == message


def test_kinds_are_asked_for_by_name():
    assert encode([1, 2, 1], categorical=["a"])[0].kind == "category"
    assert encode(["1", "2"], numeric=["a"])[0].kind == "number"
    for option in ("categorical", "numeric", "ignore"):
        message = refusal(infer, {"Age": [1, 2]}, **{option: ["age"]})
        assert message == f"--{option} 'age' is not a column; did you mean 'Age'?"
    assert "give one of Age" in refusal(infer, {"Age": [1, 2]}, ignore=["zzz"])
    assert "give one" in refusal(infer, {"a": [1, 2]}, numeric=["a"], categorical=["a"])
    clash = {"d": ["2020-01-01", "2020-02-01"], "d (month)": [1, 2]}
    assert "rename it" in refusal(infer, clash)


def test_new_columns_are_found_by_name():
    columns = infer({"a": [1, 2], "b": ["x", "y"], "c": [1, 1]})
    same(columns.matrix({"z": [0], "b": ["y"], "a": [5]}), [[5, 1]])
    message = refusal(columns.matrix, {"A": [1], "b": ["y"]})
    assert message == "columns are missing: give a; did you mean 'A'?"
    same(columns.matrix([["7", "x", 1]]), [[7, 0]])  # all columns of training, by their place
    same(columns.matrix(np.array([["7", "x"]], object)), [[7, 0]])  # those that are needed
    assert "there are 4 columns, but the model takes 3" in refusal(columns.matrix, [[1, 2, 3, 4]])


def test_columns_without_names_go_by_their_place():
    columns = numbers(3)
    assert columns.names == ("0", "1", "2")
    X = np.arange(6.0).reshape(2, 3)
    same(columns.matrix(X), X)
    same(columns.matrix({"p": [1], "q": [2], "r": [3]}), [[1, 2, 3]])
    assert "there are 2 columns, but the model takes 3" in refusal(columns.matrix, X[:, :2])
    assert "there are 2 columns" in refusal(columns.matrix, {"p": [1], "q": [2]})
    same(columns.matrix({"2": [3], "0": [1], "1": [2]}), [[1, 2, 3]])  # all names there are
    same(columns.matrix({"2": [3], "0": [1], "1": [2], "kind": ["x"]}), [[1, 2, 3]])
    more = {
        str(k): [k + 0.5] for k in range(4)
    }  # one of them is not among those of training, and which is open
    assert "there are 4 columns, but the model takes 3: give the columns" in refusal(columns.matrix, more)
    assert "there are 5 columns" in refusal(columns.matrix, {**more, "kind": ["x"]})
    same(
        columns.matrix({"0": [1], "1": [2], "2": [3], "9" * 5000: [4]}), [[1, 2, 3]]
    )  # no number of a column
    constant = infer(np.array([[1.0, 5, 2], [2, 5, 3]]))
    same(constant.matrix({"2": [7], "0": [9], "5": [1]}), [[9, 7]])
    same(constant.matrix({"2": [7], "0": [9]}), [[9, 7]])
    same(constant.matrix(np.array([[9.0, 8, 7]])), [[9, 7]])
    same(constant.matrix(np.array([[9.0, 7]])), [[9, 7]])


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ({}, "no columns"),
        ([], "no rows"),
        ({"a": []}, "no rows"),
        ({"a": [1, 2], "b": [1]}, "'a' has 2 rows and 'b' has 1"),
        ([[1, 2], [3]], "row 1 of the table has 1 values and row 0 has 2"),
        ([[1, 2], 3], "row 1 of the table is 3"),
        ({1: [1], "1": [2]}, "two columns named '1'"),
        (np.zeros(3), "shape (3,)"),
        (np.zeros((2, 2), complex), "complex128"),
        ({"a": [[1], [2]]}, "holds a list in row 0"),
        ({"a": [1, b"x"]}, "holds a bytes in row 1"),
        ({"a": np.array([b"a"])}, "not numbers, text or dates: leave it out with --ignore a"),
        ({"a": np.zeros((2, 2))}, "shape (2, 2)"),
        ({"a": np.array([10**18], "M8[s]")}, "years 1 to 9999"),
        ("text", "give (rows, columns)"),
        (None, "give (rows, columns)"),
    ],
)
def test_tables_that_are_none(frame, reason):
    assert reason in refusal(infer, frame)


def test_rows_in_dicts_may_lack_values():
    rows = [{"a": 1, "b": "x"}, {"b": "y"}, {"a": 3}]
    same(infer(rows).matrix(rows), [[1, 0], [NAN, 1], [3, NAN]])


def test_a_choice_of_rows_keeps_their_numbers():
    frame = as_frame({"a": [1, 2, "x", 4, "y"], "b": list("ppqqr")})
    some = frame.take(np.array([True, True, False, True, True])).take(np.array([2, 1]))
    assert len(some) == 2
    same(infer(some).matrix(some), [[4, 1], [2, 0]])
    assert infer(some).columns[1].categories == ("p", "q")
    assert "'y' in row 4" in refusal(Columns.infer, frame.take(np.array([0, 1, 4])))


# Frames of libraries


def frames_of(name):
    library = pytest.importorskip(name)
    values = {
        "i": [1, None, 3],
        "f": [1.5, None, 2.0],
        "b": [True, None, False],
        "s": ["x", None, "y"],
        "d": [DATE, None, DATE + datetime.timedelta(days=1)],
        "td": [datetime.timedelta(1), None, datetime.timedelta(2)],
        "dec": [decimal.Decimal("1.5"), None, decimal.Decimal(2)],
    }
    if name == "pandas":
        nullable = {"i": "Int64", "f": "Float64", "b": "boolean", "s": "string"}
        yield library.DataFrame(values)
        yield library.DataFrame(values).astype(nullable)
        yield library.DataFrame(values).astype({"s": "category"}).set_index(library.Index([5, 5, 5]))
        yield library.DataFrame(values).astype(object)
        if pytest.importorskip("pyarrow"):
            yield library.DataFrame(values).convert_dtypes(dtype_backend="pyarrow")
    elif name == "polars":
        yield library.DataFrame(values)
        yield library.DataFrame(values).cast({"s": library.Categorical})
        yield library.DataFrame(values).cast({"s": library.Enum(["y", "x"])})
    else:
        table = library.table(values)
        yield table
        place = table.schema.get_field_index("s")
        yield table.set_column(place, "s", table["s"].dictionary_encode())
        yield table.set_column(place, "s", table["s"].cast(library.large_string()))
        yield library.concat_tables([table.slice(0, 1), table.slice(1)])


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_frames_of_every_library(library):
    day = 18263 + (3 * 60 + 4) / 1440
    for frame in frames_of(library):
        columns = infer(frame)
        assert [c.name for c in columns.columns] == ["i", "f", "b", "s", "d", "d (weekday)", "td", "dec"]
        assert columns.columns[3].categories == ("x", "y")
        expected = [[1, 1.5, 1, 0, day, 3, 1, 1.5], [NAN] * 8, [3, 2, 0, 1, day + 1, 4, 2, 2]]
        np.testing.assert_allclose(columns.matrix(frame), expected, rtol=1e-15)


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_time_zones_are_brought_to_utc(library):
    lib = pytest.importorskip(library)
    zone = datetime.timezone(datetime.timedelta(hours=2))
    times = [datetime.datetime(2020, 6, 1, 1, tzinfo=zone), datetime.datetime(2020, 6, 2, 1, tzinfo=zone)]
    if library == "pandas":
        frame = lib.DataFrame({"t": lib.to_datetime(times).tz_convert("Europe/Berlin")})
    elif library == "polars":
        frame = lib.DataFrame({"t": lib.Series(times).dt.convert_time_zone("Europe/Berlin")})
    else:
        frame = lib.table({"t": lib.array(times, lib.timestamp("ns", "Europe/Berlin"))})
    X = infer(frame).matrix(frame)
    same(X[:, 0], [18413 + 23 / 24, 18414 + 23 / 24])
    same(infer(frame).matrix({"t": ["2020-06-01T01:00+02:00"]})[:, 0], [18413 + 23 / 24])


def test_frames_that_are_none():
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    twice = pandas.DataFrame([[1, 2]], columns=["a", "a"])
    assert "two columns named 'a'" in refusal(infer, twice)
    assert "give its collect()" in refusal(infer, polars.LazyFrame({"a": [1]}))
    for nested in ([[1], [2]], [{"x": 1}, {"x": 2}], [b"a", b"b"]):
        assert "--ignore a" in refusal(infer, polars.DataFrame({"a": nested}))
    period = pandas.DataFrame({"a": pandas.period_range("2020", periods=2, freq="D")})
    assert "holds a Period in row 0" in refusal(infer, period)
    assert "--ignore a" in refusal(infer, pandas.DataFrame({"a": [1j, 2j]}))
    same(infer(pandas.DataFrame([[1, 2], [3, 4]])).matrix(pandas.DataFrame([[5, 6]])), [[5, 6]])


# What is to be predicted


@pytest.mark.parametrize(
    ("values", "expected", "dtype"),
    [
        ([1, 2, 3], [1, 2, 3], np.int64),
        ([1.5, 2, 3], [1.5, 2, 3], np.float64),
        (np.array([1.0, 2.0]), [1, 2], np.float64),
        (np.array([1.0, NAN, 2.0]), [1, 2], np.int64),
        (np.array([1.5, NAN, 2.0]), [1.5, 2], np.float64),
        ([1, None, 2**60 + 1], [1, 2**60 + 1], np.int64),
        ([True, None, False], [True, False], bool),
        (["b", None, "a"], ["b", "a"], object),
        (["b", "?", " a"], ["b", "?", " a"], object),  # in memory a label is what it is
        (["1", "2"], ["1", "2"], object),
        ([1, "x"], ["1", "x"], object),
        (np.array([3, 4], np.uint8), [3, 4], np.int64),
    ],
)
def test_targets_stay_what_they_are(values, expected, dtype):
    notes = []
    taken = take_target({"x": range(len(values)), "y": values}, "y", notes.append)
    assert taken.frame.names == ("x",)
    assert taken.y.dtype == dtype
    assert taken.y.tolist() == expected
    assert int(taken.kept.sum()) == len(taken.frame) == len(expected)
    assert len(notes) == (len(expected) < len(values))
    if notes:
        assert notes[0] == f"left out 1 of {len(values)} rows without a value for 'y'"
        same(numbers(1).matrix(taken.frame)[:, 0], np.flatnonzero(taken.kept))


def test_a_value_that_is_no_class_is_named_by_the_row_that_has_it():
    frame = {"x": range(4), "y": ["a", None, "b", "c"]}
    message = refusal(take_target, frame, "y", str, ("a", "b"))
    assert message == "column 'y' holds 'c' in row 3, which is not a class: give one of 'a', 'b'"
    assert take_target(frame, "y", str, ("a", "b", "c")).y.tolist() == ["a", "b", "c"]


def test_floats_with_gaps_are_integers_where_they_are_few():
    """Else one gap would turn prices into classes, as NumPy and pandas make floats of integers with gaps."""
    for count, kind in ((20, np.int64), (21, np.float64)):
        frame = {"x": np.arange(count + 1), "y": np.array([np.nan, *range(count)])}
        assert take_target(frame, "y", str).y.dtype == kind


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_targets_of_frames(library):
    for frame in frames_of(library):
        found = {name: take_target(frame, name, str).y for name in ("f", "b", "s")}
        assert {name: y.tolist() for name, y in found.items()} == {
            "f": [1.5, 2.0],
            "b": [True, False],
            "s": ["x", "y"],
        }
        assert take_target(frame, "i", str).y.dtype == np.int64


def test_targets_in_a_text_file_are_what_they_say(tmp_path):
    pytest.importorskip("pyarrow")
    from xpnet.datasets.frames import read_table

    path = tmp_path / "a.csv"
    rows = "1,1.5,true,x,007,2020-01-01,1\n2,2,false,y,010,2020-01-02,2\n"
    path.write_text(f"i,f,b,s,code,d,m\n{rows}{rows},,,,,,x\n")
    frame = read_table(path)
    found = {name: take_target(frame, name, str).y for name in ("i", "f", "b", "s", "code")}
    assert {name: y.dtype.kind for name, y in found.items()} == {
        "i": "i",
        "f": "f",
        "b": "b",
        "s": "O",
        "code": "O",
    }
    assert found["code"].tolist() == ["007", "010"] * 2
    assert "holds dates" in refusal(take_target, frame, "d", str)
    assert "holds 'x' in line 6, which is no number" in refusal(take_target, frame, "m", str)
    assert row_values(frame.take(np.arange(4)), "d").dtype == "datetime64[us]"
    assert row_values(frame, "m").tolist() == ["1", "2", "1", "2", "x"]
    assert "has no value in line 6" in refusal(row_values, frame, "i")
    assert take_target(frame, ["i", "f"], str).y.tolist() == [[1, 1.5], [2, 2]] * 2


def test_targets_that_are_none():
    table = {"x": [1, 2], "price": [1, 2], "none": [None, None], "when": [DATE, DATE], "s": ["a", "b"]}
    assert refusal(take_target, table, "Price") == "--target 'Price' is not a column; did you mean 'price'?"
    assert "no row has a value" in refusal(take_target, table, "none")
    halves = {"x": [1.5, None], "z": [None, 2.5]}
    assert "no row has values for all of 'x', 'z': give another --target" in refusal(
        take_target, halves, ["x", "z"]
    )
    assert "holds dates" in refusal(take_target, table, "when")
    assert "give targets of one kind" in refusal(take_target, table, ["price", "s"])
    assert "--target NAME" in refusal(take_target, table, [])
    message = refusal(take_target, {"y": [1.0, np.inf], "x": [1, 2]}, "y")
    assert message == "column 'y' holds an infinity in row 1: leave the value empty"
    assert "more than 64 bits in row 1" in refusal(take_target, {"y": [1, 2**64], "x": [1, 2]}, "y")
    pair = take_target({"a": [1, None, 3], "b": [1, 2, None], "x": [1, 2, 3]}, ["a", "b"], str)
    assert (pair.y.tolist(), pair.kept.tolist()) == ([[1, 1]], [True, False, False])


# The description


GOOD = Columns(
    (
        Column("n", "number"),
        Column("c", "category", ("x", "y")),
        Column("d", "number", part="days", held="dates"),
        Column("d (month)", "number", source="d", part="month", held="dates"),
    ),
    ("id", "n", "c", "d"),
)


def test_a_description_that_makes_no_sense_is_refused():
    good = json.loads(json.dumps(GOOD.as_json()))
    assert Columns.from_json(good) == GOOD
    for place, changes in (
        (0, {"kind": "text"}),
        (0, {"kind": []}),
        (0, {"name": 5}),
        (0, {"name": "c"}),
        (0, {"name": "other"}),
        (0, {"held": "dates"}),
        (0, {"held": "what"}),
        (0, {"categories": ["x"]}),
        (0, {"more": 1}),
        (1, {"categories": []}),
        (1, {"categories": ["x", "x"]}),
        (1, {"categories": ["x", 1]}),
        (1, {"categories": "xy"}),
        (1, {"part": "days"}),
        (1, {"rare": 2}),
        (1, {"rare": None}),
        (2, {"part": "year"}),
        (3, {"source": "n"}),
        (3, {"source": "unknown"}),
    ):
        columns = [dict(column) for column in good["columns"]]
        columns[place] |= changes
        refusal(Columns.from_json, good | {"columns": columns})
    for bad in (None, [], {}, good | {"columns": []}, good | {"names": [1]}, good | {"is_named": 1}):
        refusal(Columns.from_json, bad)
    refusal(Columns.from_json, good | {"names": ["n", "n", "c", "d"]})
    refusal(Columns.from_json, good | {"more": 1})
    before = [{name: of for name, of in column.items() if name != "rare"} for column in good["columns"]]
    assert Columns.from_json(good | {"columns": before}) == GOOD


LEAF = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
JSON = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)


@given(JSON, st.sampled_from(["columns", "names", "is_named"]))
def test_any_description_is_read_or_refused(value, key):
    for described in (value, GOOD.as_json() | {key: value}, GOOD.as_json() | {"columns": [value]}):
        with contextlib.suppress(InputError):
            Columns.from_json(described)


def test_overview():
    table = {
        "age": [20, 31, None],
        "city": ["Rom", "Bern", "Rom"],
        "ok": [True, False, True],
        "d": [DATE, None, DATE],
    }
    columns = infer(table)
    X = columns.matrix(table | {"city": ["Rom", "Oslo", "Rom"]})
    assert columns.overview(X).splitlines() == [
        "column  kind      gaps  values",
        "age     number       1  20 … 31",
        "city    category     0  Rom 2, Bern 0, unknown 1",
        "ok      boolean      0  0 … 1",
        "d       days         1  2020-01-02 03:04 … 2020-01-02 03:04",
    ]
    wide = numbers(500).overview(np.zeros((2, 500)))
    assert len(wide.splitlines()) == 42
    assert wide.endswith("460 more numeric and 0 categorical columns")


VALUE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        [*words.GAPS, "1", "2020-01-01", "inf", "true", "1,5", DATE, datetime.timedelta(1), b"x", [1]]
    ),
)


@given(st.lists(VALUE, min_size=1, max_size=30), st.lists(VALUE, min_size=1, max_size=5))
def test_any_column_is_read_or_refused(values, new):
    table = {"a": values, "n": range(len(values))}
    with contextlib.suppress(InputError):
        columns = Columns.infer(table, note=str)
        X = columns.matrix(table)
        assert not np.isinf(X).any()
        same(columns.matrix(table | {"a": np.array([*values, 0], object)[:-1]}), X)
        assert columns.matrix({"a": new, "n": range(len(new))}).shape == (len(new), X.shape[1])
        columns.overview(X)


@pytest.mark.parametrize(
    ("changes", "others", "expected"),
    [
        ({}, (), "kind"),
        ({"Target": [1] * 40}, (), "Target"),
        ({" y ": [1] * 40}, (), " y "),
        ({"y": [1] * 40}, ("y",), "kind"),
        ({"y": [1] * 40, "LABEL": [1] * 40}, (), None),
        ({"last": [1.5] * 40}, (), None),  # the text is not the last
        ({"b": ["u", "v"] * 20}, (), None),  # more text than that
        ({"b": ["u", "v"] * 20}, ("b",), "kind"),
        ({"b": np.array(["2020-01-01", "2020-01-02"] * 20, "M8[D]")}, (), None),
        ({"b": [True, False] * 20}, (), "kind"),
        ({"b": [None] * 40}, (), "kind"),
        ({"kind": [f"name {k}" for k in range(40)]}, (), None),  # that hardly repeats
        ({"kind": ["1", "2"] * 20}, (), None),  # numbers, as all others
        ({"kind": [None] * 40}, (), None),
        ({"b": [[1]] * 40}, (), None),
    ],
)
def test_a_column_is_likely_the_target_where_it_is_plain(changes, others, expected):
    frame = {"a": np.arange(40.0), "b": list(range(40)), "kind": ["cat", "dog", None, "cat"] * 10} | changes
    assert likely_target(as_frame(frame), others) == expected


def test_missing_columns_are_listed_with_unknown_ones():
    columns = Columns.infer({"age": [1, 2], "pay": [3, 4], "size": [5, 6]})
    message = refusal(columns.matrix, {"heigth": [1], "wage": [2], "age": [3]})
    assert message == "columns are missing: give pay, size; unknown columns: heigth, wage"
    message = refusal(numbers(2).matrix, {"a": [1], "b": [2], "c": ["x"]})
    assert message.endswith("give the columns that it was trained on, without c")
    message = refusal(numbers(2).matrix, {"a": [1, 2], "b": ["x", "y"]})
    assert message == "column 'b' holds text ('x' in row 0), not numbers: give numbers"
    message = refusal(numbers(2).matrix, {"a": ["1", "2"], "b": ["1", "y"]})
    assert message == "column 'b' holds 'y' in row 1, which is no number: correct it"
