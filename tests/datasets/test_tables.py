"""Tables in memory and from files as data sets: targets, groups, times, and what is said of them."""

import numpy as np
import pytest

from xpnet.columns.tabular import is_frame
from xpnet.datasets import from_arrays, load
from xpnet.datasets.reading import Reading, hold_out
from xpnet.datasets.tables import from_frame, from_table
from xpnet.errors import InputError

N = 60


def people(**columns):
    rng = np.random.default_rng(0)
    table = {
        "age": rng.normal(40, 9, N).round(1).tolist(),
        "city": rng.choice(["Rome", "Oslo"], N).tolist(),
        "visit": [f"2024-{1 + k // 28:02}-{1 + k % 28:02}" for k in range(N)],
        "family": [f"f{k // 4}" for k in range(N)],
        "plan": rng.choice(["basic", "pro"], N).tolist(),
    }
    return table | columns


def made(frame=None, arrays=None, **reading):
    reading = {"target": ("plan",)} | reading
    return from_frame(people() if frame is None else frame, arrays or {}, "people", Reading(**reading))


def test_a_table_becomes_a_data_set():
    data = made(validation_fraction=0.2)
    assert data.labels == ("basic", "pro")
    assert [column.name for column in data.columns.columns if column.origin == "age"] == ["age"]
    assert (len(data.X_train), len(data.X_val)) == (48, 12)
    assert "plan" not in {column.origin for column in data.columns.columns}


def test_labels_in_memory_are_what_they_are_at_either_door():
    labels = [" pro", "NA"] * (N // 2)
    given, taken = made(arrays={"y": labels}, target=()), made(people(plan=labels))
    assert given.labels == taken.labels == (" pro", "NA")
    assert np.array_equal(np.sort(given.y_train), np.sort(taken.y_train))


def test_rows_without_a_target_are_left_out_with_a_note():
    notes = []
    plans = people()["plan"]
    plans[3] = plans[7] = None
    data = from_frame(people(plan=plans), {}, "people", Reading(target=("plan",)), notes.append)
    assert len(data.X_train) + len(data.X_val) == N - 2
    assert any("2 of 60 rows" in note for note in notes)


def test_no_group_is_on_both_sides():
    families = np.array([k // 4 for k in range(N)])
    data = made(people(row=list(range(N))), group="family", numeric=("row",), validation_fraction=0.25)
    place = [column.name for column in data.columns.columns].index("row")
    sides = [set(families[X[:, place].astype(int)].tolist()) for X in (data.X_train, data.X_val)]
    assert sides[1]
    assert not sides[0] & sides[1]
    assert "family" not in {column.origin for column in data.columns.columns}


def test_the_latest_rows_validate():
    order = np.random.default_rng(1).permutation(N)
    frame = {name: [values[k] for k in order] for name, values in people(row=list(range(N))).items()}
    data = made(frame, time="visit", numeric=("row",), validation_fraction=0.2)
    place = [column.name for column in data.columns.columns].index("row")
    assert sorted(data.X_val[:, place]) == list(range(48, N))


@pytest.mark.parametrize(
    ("times", "fraction", "latest"),
    [
        ([3, 1, 2, 2, 2, 1], 0.34, 1),  # of 2 wanted 1 or 4
        ([3, 1, 2, 2, 2, 1], 0.5, 4),  # of 3 wanted
        ([5] * 9 + [4], 0.1, 9),
        ([4] + [5] * 9, 0.9, 9),
        (list(range(10)), 0.3, 3),
        ([1, 1, 1, 1, 0, 0, 0, 0], 0.1, 4),
        ([1, 2, 3, 3, 4, 4], 0.5, 2),  # of 3 wanted 2 or 4: the fewer
    ],
)
def test_rows_of_one_time_stay_together(times, fraction, latest):
    values = np.array(times)
    for of in (values, values.astype("M8[D]"), values * 0.5):
        held = hold_out("t", len(of), Reading(validation_fraction=fraction), times=of)
        assert len(held) == latest
        kept = np.setdiff1d(np.arange(len(of)), held)
        assert of[held].min() > of[kept].max()


def test_rows_of_a_single_time_cannot_be_split():
    with pytest.raises(
        InputError, match="people: all rows have the same time and cannot be split: give another --t"
    ):
        made(people(visit=["2024-05-01"] * N), time="visit")


def test_classes_without_a_row_to_train_on_are_told_of():
    notes = []
    frame = people(plan=["basic"] * (N - 6) + ["pro"] * 6)
    data = from_frame(frame, {}, "own", Reading(target=("plan",), time="visit"), notes.append)
    assert set(data.y_val) == {1}
    assert notes[-1] == "classes that only validation rows have: pro; add training rows of each"


@pytest.mark.parametrize(
    ("reading", "message"),
    [
        ({"target": ()}, "which column is the target"),
        ({"target": ("plam",)}, "did you mean 'plan'"),
        ({"group": "famly"}, "--group 'famly' is not a column; did you mean 'family'"),
        ({"group": "plan"}, "--group plan is the target"),
        ({"target": ("plan", "plan")}, "--target names a column twice"),
        ({"target": ("plan", "city")}, "several --target columns must hold numbers"),
        ({"time": "city"}, "--time city holds no times: write dates as 2020-12-31"),
    ],
)
def test_one_line_says_what_is_wrong(reading, message):
    with pytest.raises(InputError) as caught:
        made(**reading)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_users_own_targets_are_never_written_to():
    y = np.arange(N, dtype=np.float64)
    y.flags.writeable = False
    assert made(arrays={"y": y}, target=()).task == "regression"


def test_an_array_file_is_a_table_of_numbered_columns(tmp_path):
    rows = np.random.default_rng(0).normal(size=(30, 3))
    np.save(tmp_path / "rows.npy", rows)
    data = load(tmp_path / "rows.npy", reading=Reading(target=("2",)))
    assert data.task == "regression"
    assert data.num_features == 2


def test_one_row_is_refused_before_its_columns():
    with pytest.raises(InputError, match=r"^own has one row, which leaves none for validation: give"):
        from_frame({"a": [1], "y": [0]}, {}, "own", Reading(target=("y",)), pytest.fail)


def test_what_is_a_frame():
    assert is_frame(people())
    assert is_frame(np.array([["a", 1]], object))
    assert not is_frame(np.zeros((2, 2)))


@pytest.mark.parametrize("said", [{"task": "classification"}, {"categorical": ("plan",)}])
@pytest.mark.parametrize(
    ("plans", "labels"),
    [
        (["1", "2", "1", "x"], ("1", "2", "x")),
        (["1.5", "2", "2.5"], ("1.5", "2", "2.5")),
        (["2020-01-01", "2020-02-01"], ("2020-01-01", "2020-02-01")),
        (["3", "7"], (3, 7)),
        (["1.0", "2.0"], (1, 2)),
    ],
)
def test_text_that_is_mostly_numbers_may_be_classes(tmp_path, said, plans, labels):
    path = tmp_path / "a.csv"
    path.write_text("age,plan\n" + "".join(f"{k},{plans[k % len(plans)]}\n" for k in range(24)))
    data = load(path, reading=Reading(target=("plan",), **said))
    assert (data.task, data.labels) == ("classification", labels)


def test_text_that_is_mostly_numbers_is_refused_with_the_way_out(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("age,plan\n" + "".join(f"{k},{'1213x'[k % 5]}\n" for k in range(25)))
    with pytest.raises(
        InputError, match=r"'x' in line 6, which is no number: .* or use --task classification$"
    ):
        load(path, reading=Reading(target=("plan",)))
    with pytest.raises(InputError, match="--categorical names the target of a regression: leave it out"):
        load(path, reading=Reading(target=("plan",), categorical=("plan",), task="regression"))


def test_a_class_keeps_a_row_to_learn_from():
    classes = np.array([0] * 30 + [1] * 29 + [2])
    for seed in range(40):
        chosen = hold_out("t", N, Reading(seed=seed, validation_fraction=0.3), classes)
        assert N - 1 not in chosen


def test_several_columns_of_whole_numbers_are_predicted_as_numbers():
    data = made(people(a=list(range(N)), b=list(range(N))), target=("a", "b"))
    assert (data.task, data.class_names) == ("regression", ("a", "b"))
    labels = made(people(a=[0, 1] * (N // 2), b=[1, 1, 0] * (N // 3)), target=("a", "b"))
    assert labels.task == "multilabel"


def test_many_classes_that_are_whole_numbers_get_a_word():
    for values, said in (
        (list(range(N)), ["60 classes in 60 rows: use --task regression if these are numbers to predict"]),
        ([1, 2] * 30, []),
    ):
        notes = []
        from_frame(people(pay=values), {}, "people", Reading(target=("pay",), ignore=("plan",)), notes.append)
        assert [note for note in notes if "to predict" in note] == said


@pytest.mark.parametrize("text", ["${}.5", "{}%", "{},5 €", "1 {}", "{},000"])
@pytest.mark.parametrize("door", ["frame", "csv", "array"])
def test_amounts_with_signs_are_no_classes_and_the_advice_works(tmp_path, text, door):
    table = {"a": [k % 7 for k in range(60)], "y": [text.format(k + 100) for k in range(60)]}

    def load(**said):
        if door == "array":
            return from_arrays(np.arange(60.0)[:, None], np.array(table["y"]), **said)
        if door == "frame":
            return from_frame(table, {}, "t", Reading(target=("y",), **said))
        path = tmp_path / "t.csv"
        path.write_text("a;y\n" + "".join(f"{a};{y}\n" for a, y in zip(*table.values(), strict=True)))
        return from_table(path, Reading(target=("y",), **said))

    for said in ({}, {"task": "regression"}):
        with pytest.raises(InputError, match=r"y'? holds '.*': write ") as caught:
            load(**said)
        assert ("--task classification" in str(caught.value)) or said
    assert load(task="classification").num_classes == 60


def test_text_that_is_no_number_is_not_advised_to_be_one():
    y = [f"name {k}" for k in range(300)]
    with pytest.raises(InputError, match=r"300 classes in 300 rows, too few .*: give another target$"):
        from_arrays(np.arange(300.0)[:, None], y)
    with pytest.raises(InputError, match="y holds text: give numbers for regression"):
        from_arrays(np.arange(300.0)[:, None], y, task="regression")
    for y in (["1/2/2020", "2/2/2020"], ["10%", "some", "none"]):
        assert from_arrays(np.arange(18.0)[:, None], np.resize(y, 18)).num_classes == len(y)


def test_a_time_may_well_count_the_rows():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"year": range(1980, 2020), "size": np.arange(40) % 7, "t": np.arange(40) % 5 / 3})
    for time, count in (("year", 0), (None, 1)):
        notes = []
        from_frame(frame, {}, "own", Reading(target=("t",), time=time), notes.append)
        assert sum("row numbers" in text for text in notes) == count
