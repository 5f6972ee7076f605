"""A table of one's own at the commands: train, sweep, evaluate and predict, by the columns' names."""

import csv
import datetime
import json
import re
from pathlib import Path

import numpy as np
import pytest
from command_lines import call, refused

from xpnet.commands import evaluate, predict, sweep, train
from xpnet.runs import unlabelled
from xpnet.runs.config import Config
from xpnet.runs.model_file import load_model

pytestmark = pytest.mark.usefixtures("without_pictures")

SLOW = ["--iterations", "5", "--learning-rate", "1e-9"]  # for numbers in the thousands
QUICK = ["--ensemble", "1", "--hidden", "12", "--epochs", "10", "--batch-size", "10"]


def rows(count=80, seed=0):
    """Rows of a table, with gaps; pay is a number and plan a class."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        age, city = int(rng.integers(18, 80)), str(rng.choice(["Oslo", "Rome", "Ulm"]))
        pay = age * 100 + 2000 * (city == "Rome") + int(rng.integers(0, 200))
        plan = "gold" if pay > 5500 else "none"
        yield {"age": "" if rng.random() < 0.1 else age, "city": city, "pay": pay, "plan": plan}


def write(path, table, columns=("age", "city", "pay", "plan"), header=True):
    with Path(path).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([columns] if header else [])
        writer.writerows([row[name] for name in columns] for row in table)


@pytest.fixture(autouse=True)
def _files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("people.csv", rows())
    write("new.csv", rows(30, seed=1), ("plan", "city", "pay", "age"))


def trained(capsys, *argv):
    status, out, err = call(train.main, capsys, "people.csv", *QUICK, "--out", "a", *argv)
    assert status == 0, err
    return out, err


def test_what_is_in_the_table_is_shown_and_the_recipe_used(capsys):
    out, _ = trained(capsys, "--target", "plan", "--ignore", "pay")
    lines = out.splitlines()
    assert lines[0].split() == ["column", "kind", "gaps", "values"]
    assert [line.split()[:2] for line in lines[1:3]] == [["age", "number"], ["city", "category"]]
    assert lines[3].startswith(
        "classification, 2 classes (gold, none); 64 rows to train on, 16 to validate on"
    )
    written = json.loads(Path("a/config.json").read_text())
    assert written["dataset"] == str(Path("people.csv").absolute())
    assert (written["target"], written["ignore"]) == (["plan"], ["pay"])
    assert (written["preprocess"], written["solver"], written["epochs"]) == ("table", "adam", 10)
    assert call(train.main, capsys, "--config", "a/config.json", "--out", "b", "--quiet") == (0, "", "")
    assert Path("a/model.safetensors").read_bytes() == Path("b/model.safetensors").read_bytes()


def test_sizes_that_suit_the_rows_are_written_down(capsys):
    trained(capsys, "--target", "plan", "--batch-size", "0", "--validation-fraction", "0.5")
    written = json.loads(Path("a/config.json").read_text())
    assert written["batch_size"] == Config(batch_size=0).for_data(40, 3, "classification").batch_size > 0


@pytest.mark.parametrize("name", [None, "table-fast"])
def test_a_sweep_leaves_out_the_ensemble_of_the_recipe(capsys, name):
    argv = ["people.csv", "--target", "plan", "--hidden", "8", "--epochs", "2", "--out", "s", "--quiet"]
    argv += ["--dropout", "0.0", "0.2", *(["--recipe", name] if name else [])]
    assert call(sweep.main, capsys, *argv) == (0, "", "")
    assert load_model("s/best/model.safetensors").networks is None
    assert json.loads(Path("s/best/config.json").read_text())["preprocess"] == "table"


def test_a_named_table_is_measured_whole(capsys):
    trained(capsys, "--target", "plan")
    status, out, _ = call(evaluate.main, capsys, "a", "--dataset", "new.csv", "--json", "--quiet")
    found = json.loads(out)
    assert (status, found["split"], found["rows"]) == (0, "all", 30)
    assert found["accuracy"] > 0.8
    status, out, _ = call(evaluate.main, capsys, "a", "--json", "--quiet")
    assert (json.loads(out)["split"], json.loads(out)["rows"]) == ("val", 16)
    write("renamed.csv", rows(30, seed=1))
    text = Path("renamed.csv").read_text().replace("plan", "choice")
    Path("renamed.csv").write_text(text)
    argv = ["a", "--dataset", "renamed.csv", "--target", "choice", "--json", "--quiet"]
    assert json.loads(call(evaluate.main, capsys, *argv)[1])["accuracy"] == found["accuracy"]
    assert "'plan' is not a column" in refused(evaluate.main, capsys, "a", "--dataset", "renamed.csv")
    line = refused(evaluate.main, capsys, "a", "--dataset", "new.csv", "--split", "val")
    assert "new.csv is a table, which has no splits: drop --split" in line
    assert "--target applies to a table given" in refused(evaluate.main, capsys, "a", "--target", "plan")


def test_new_categories_get_one_note_at_each_command(capsys):
    trained(capsys, "--target", "plan")
    write("upper.csv", [row | {"city": row["city"].upper()} for row in rows(30, seed=1)])
    for main, argv in (
        (predict.main, ["--input", "upper.csv", "--output", "p.csv"]),
        (evaluate.main, ["--dataset", "upper.csv"]),
    ):
        status, _, err = call(main, capsys, "a", *argv, "--quiet")
        assert (status, err.count("\n")) == (0, 1)
        assert "note: column 'city' has values in " in err


def test_classes_that_are_mostly_numbers_are_measured_as_they_were_named(capsys):
    table = [row | {"plan": {"gold": "1", "none": "x"}[row["plan"]]} for row in rows()]
    write("people.csv", table)
    trained(capsys, "--target", "plan", "--task", "classification")
    write("ones.csv", [row for row in table if row["plan"] == "1"])
    status, out, err = call(evaluate.main, capsys, "a", "--dataset", "ones.csv", "--json", "--quiet")
    assert (status, err) == (0, "")
    assert json.loads(out)["accuracy"] > 0.8


def test_data_that_changed_since_the_run(capsys):
    trained(capsys, "--target", "plan")
    write("people.csv", [row | {"city": row["city"].replace("Ulm", "Bergen")} for row in rows()])
    assert "has changed since the run" in refused(evaluate.main, capsys, "a")


def test_predictions_by_the_names_of_the_columns(capsys):
    trained(capsys, "--target", "plan", "--ignore", "pay")
    write("few.csv", rows(30, seed=1), ("city", "age"))
    write("bare.csv", rows(30, seed=1), ("age", "city"), header=False)
    found = []
    for name, *flags in (("new.csv",), ("few.csv",), ("bare.csv", "--no-header")):
        argv = ["a", "--input", name, "--output", "y.csv", "--quiet", *flags]
        assert call(predict.main, capsys, *argv)[0] == 0
        found.append(Path("y.csv").read_text())
    assert found[0] == found[1]
    assert found[0].splitlines()[0] == "plan"
    assert found[2] == found[0]
    write("lacking.csv", rows(5), ("age",))
    line = refused(predict.main, capsys, "a", "--input", "lacking.csv", "--output", "n.csv")
    assert "columns are missing: give city" in line
    line = refused(predict.main, capsys, "a", "--input", "new.csv", "--output", "n.csv", "--interval", "0.9")
    assert "--interval needs a regression" in line
    assert not Path("n.csv").exists()


def numbered(name, **ids):
    """Write rows of the table with columns that tell which each is."""
    table = [{of: values[k] for of, values in ids.items()} | row for k, row in enumerate(rows(30))]
    write(name, table, tuple(table[0]))


def kept(capsys, *flags):
    """Return the lines of a .csv of predictions, as lists."""
    argv = ["a", "--input", "new.csv", "--output", "y.csv", "--quiet", *flags]
    assert call(predict.main, capsys, *argv)[0] == 0
    with Path("y.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_predictions_tell_which_rows_they_are_of(capsys, monkeypatch):
    monkeypatch.setattr(unlabelled, "PART", 7 * 5)
    trained(capsys, "--target", "plan")
    ids = [f"{k:04}" for k in range(30)]
    remarks = ["", 'say "so", or not', "ünï"] * 10
    numbered("new.csv", PassengerId=ids, remark=remarks)
    head, *lines = kept(capsys)
    assert (head, [line[0] for line in lines]) == (["PassengerId", "plan"], ids)
    bare = kept(capsys, "--keep")
    assert bare == [[plan] for _, plan in [head, *lines]]
    head, *lines = kept(capsys, "--keep", "remark", "PassengerId", "city", "--probabilities")
    assert head == ["remark", "PassengerId", "city", "gold", "none"]
    assert [line[:2] for line in lines] == [list(pair) for pair in zip(remarks, ids, strict=True)]
    assert {line[2] for line in lines} == {"Oslo", "Rome", "Ulm"}


def test_a_target_with_the_name_of_an_id_is_not_kept(capsys):
    table = [{"id": row["plan"], "order_id": k * k} | row for k, row in enumerate(rows())]
    write("people.csv", table, tuple(table[0]))
    trained(capsys, "--target", "id", "--ignore", "plan")
    numbered("new.csv", id=["gold"] * 30, order_id=range(30))
    assert kept(capsys)[0] == ["order_id", "id"]
    argv = ["a", "--input", "new.csv", "--output", "y.csv", "--keep"]
    line = refused(predict.main, capsys, *argv, "id")
    assert "--keep 'id' is also the name of a column of predictions: drop it" in line
    assert "--keep 'orderid' is not a column; did you mean 'order_id'?" in refused(
        predict.main, capsys, *argv, "orderid"
    )
    argv[4] = "y.npz"
    line = refused(predict.main, capsys, *argv, "order_id")
    assert line.endswith("--keep needs an --output in .csv, not y.npz: drop it, or write a .csv file")


def test_ids_of_parquet(capsys):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    trained(capsys, "--target", "plan", "--ignore", "pay")
    day = datetime.date(2024, 1, 30)
    columns = {
        "id": [3, None],
        "day": [day, None],
        "x": [0.5, float("nan")],
        "city": ["Ulm"] * 2,
        "age": [30, 40],
    }
    parquet.write_table(pa.table(columns), "new.parquet")
    argv = ["a", "--input", "new.parquet", "--output", "y.csv", "--quiet"]
    for flags, first in (([], "3"), (["--keep", "id", "day", "x"], "3,2024-01-30,0.5")):
        assert call(predict.main, capsys, *argv, *flags)[0] == 0
        found = [line.rpartition(",")[0] for line in Path("y.csv").read_text().splitlines()[1:]]
        assert found == [first, ",,"[: first.count(",")]]


def test_the_report_numbers_rows_as_the_file_does(capsys):
    table = [row | {"plan": "" if k % 7 == 0 else row["plan"], "n": k} for k, row in enumerate(rows())]
    write("people.csv", table, ("n", "age", "city", "plan"))
    trained(capsys, "--target", "plan", "--ignore", "city", "--epochs", "1", "--hidden", "1")
    page = Path("a/report.html").read_text()
    assert "<caption>Rows of people.csv, counted from 0</caption>" in page
    assert assert_numbered(page)
    assert call(evaluate.main, capsys, "a", "--quiet")[0] == 0
    assert assert_numbered(Path("a/report.html").read_text())
    write("other.csv", table[3:], ("n", "age", "city", "plan"))
    assert call(evaluate.main, capsys, "a", "--dataset", "other.csv", "--quiet")[0] == 0
    page = Path("a/report.html").read_text()
    assert assert_numbered(page.partition("Rows of other.csv, counted from 0")[2], first=3)


def assert_numbered(page, first=0):
    """Check the number of each row against the one that it holds; return how many there are."""
    of_rows = re.findall(r"<tr><td>(\d+)</td>(?:<td[^>]*>[^<]*</td>){3}<td>(\d+)</td>", page)
    assert [int(number) + first for number, _ in of_rows] == [int(held) for _, held in of_rows]
    return len(of_rows)


def test_a_table_with_numbers_for_names_at_every_command(capsys):
    for name in ("people.csv", "new.csv"):
        table = [[row["age"] or 20, row["pay"], row["plan"]] for row in rows(60)]
        Path(name).write_text("1,2,t\n" + "".join(f"{a},{b},{c}\n" for a, b, c in table))
    trained(capsys, "--target", "2", "--task", "regression")
    assert json.loads(Path("a/config.json").read_text())["target"] == ["2"]
    status, out, _ = call(evaluate.main, capsys, "a", "--dataset", "new.csv", "--json", "--quiet")
    assert (status, json.loads(out)["rows"]) == (0, 60)


@pytest.mark.parametrize("name", ["none.csv", "none.parquet"])
def test_names_of_columns_without_rows(capsys, name):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    def write_names(*names):
        Path("none.csv").write_text(",".join(names) + "\n")
        parquet.write_table(pa.table(dict.fromkeys(names, pa.array([], pa.string()))), "none.parquet")

    trained(capsys, "--target", "plan", "--ignore", "pay")
    write_names("age", "town")
    line = refused(predict.main, capsys, "a", "--input", name, "--output", "y.csv")
    assert "columns are missing: give city" in line
    assert not Path("y.csv").exists()
    write_names("city", "age")
    assert call(predict.main, capsys, "a", "--input", name, "--output", "y.csv", "--quiet")[0] == 0
    assert Path("y.csv").read_text().splitlines() == ["plan"]


def test_intervals_of_numbers(capsys):
    trained(capsys, "--target", "pay", "--task", "regression", "--ignore", "plan")
    argv = ["a", "--input", "new.csv", "--output", "y.csv", "--interval", "0.5", "--quiet"]
    assert call(predict.main, capsys, *argv) == (0, "", "")
    with Path("y.csv").open(newline="") as file:
        head, *lines = csv.reader(file)
    assert head == ["pay", "pay lower", "pay upper"]
    number, lower, upper = np.array(lines, float).T
    assert (lower <= number).all()
    assert (number <= upper).all()
    assert len(number) == 30


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        ([], "which column is the target? Give its name: --target NAME"),
        (["--target", "pln"], "'pln' is not a column; did you mean 'plan'?"),
        (["--target", "plan", "--categorical", "town"], "'town' is not a column"),
        (
            ["--target", "plan", "--preprocess", "mean"],
            "column 'city' has categories, which --preprocess mean",
        ),
        (["--target", "plan", "--group", "nobody"], "'nobody' is not a column"),
        (["--target", "plan", "--size", "8"], "people.csv is not a folder of images: drop --size"),
    ],
)
def test_what_a_user_can_mend(capsys, argv, text):
    for main in (train.main, sweep.main):
        assert text in refused(main, capsys, "people.csv", *QUICK[2:], "--out", "a", *argv)
        assert not Path("a").exists()


def test_a_column_that_is_plainly_the_target_needs_no_name(capsys):
    write("plans.csv", [row | {"age": row["age"] or 30} for row in rows()], ("age", "pay", "plan"))
    said = "note: column 'plan' is used as the target: give --target NAME for another\n"
    for main, at in ((train.main, "a"), (sweep.main, "s")):
        grid = ["--reg", "0", "0.1"] if main is sweep.main else []
        status, _, err = call(main, capsys, "plans.csv", *QUICK[2:], "--out", at, "--quiet", *grid)
        assert status == 0
        assert err.endswith(said)
        folder = Path(at) if main is train.main else Path(at, "best")
        assert json.loads((folder / "config.json").read_text())["target"] == ["plan"]
        status, out, err = call(evaluate.main, capsys, folder, "--quiet", "--json")
        assert (status, err, json.loads(out)["rows"]) == (0, "", 16)
        status, out, err = call(evaluate.main, capsys, folder, "--dataset", "plans.csv", "--quiet", "--json")
        assert json.loads(out)["rows"] == 80
        assert "plans.csv holds the data of the run: the rows evaluated include those" in err
    assert call(train.main, capsys, "--resume", "a", "--quiet")[0] == 2  # which has ended


def test_rows_to_validate_on_leave_no_part_to_hold_out(capsys):
    X, y = np.eye(40), np.arange(40) % 2
    np.savez("own.npz", X=X, y=y, X_val=X, y_val=y)
    for main in (train.main, sweep.main):
        for name in ("own.npz", "digits"):
            line = refused(main, capsys, name, "--validation-fraction", "0.3", "--out", "a")
            assert f"{name} has its own validation rows: drop --validation-fraction" in line
    argv = ["digits", "--recipe", "table-fast", "--epochs", "1", "--out", "a", "--quiet"]
    assert call(train.main, capsys, *argv) == (0, "", "")  # the recipe's own is no word of the user's


def test_a_flag_goes_over_what_the_recipe_would_have(capsys):
    trained(capsys, "--target", "plan", "--loss", "hinge", "--init-std", "0.1")
    written = json.loads(Path("a/config.json").read_text())
    assert (written["loss"], written["label_smoothing"], written["init"]) == ("hinge", 0.0, "normal")
    argv = ["people.csv", "--target", "plan", "--hidden", "8", "--loss", "auto", "hinge", "--halving"]
    assert call(sweep.main, capsys, *argv, "--epochs", "2", "--out", "s", "--quiet") == (0, "", "")
    written = json.loads(Path("s/best/config.json").read_text())
    assert (written["label_smoothing"], written["patience"]) == (0.0, None)


def test_no_recipe(capsys):
    argv = ["people.csv", "--target", "plan", "--ignore", "age", "city", "--recipe", "none", "--quiet"]
    assert call(train.main, capsys, *argv, *SLOW, "--out", "a") == (0, "", "")
    written = json.loads(Path("a/config.json").read_text())
    assert (written["solver"], written["ensemble"], written["preprocess"]) == ("sgd", 1, "mean")


def test_a_table_that_has_changed_since_is_no_measure_and_says_so(capsys):
    trained(capsys, "--target", "plan")
    assert "has changed" not in call(evaluate.main, capsys, "a")[2]
    table = list(rows())
    write("people.csv", [*table[40:], *table[:40]])
    status, _, err = call(evaluate.main, capsys, "a")
    assert status == 0
    assert "people.csv has changed since the run: the rows evaluated may include training rows" in err


SHORT = [*QUICK, "--recipe", "table-fast", "--quiet"]


def predicted(capsys, text, run="s", *flags):
    """Return how many rows of a CSV were predicted, and what was said; the error where it was refused."""
    Path("short.csv").write_text(text)
    argv = [run, "--input", "short.csv", "--output", "q.csv", *flags]
    status, out, err = call(predict.main, capsys, *argv)
    return (int(out.split(" of ")[1].split()[0]) if status == 0 else None), err


@pytest.mark.parametrize("kind", ["text", "mixed"])
def test_no_row_of_a_file_without_names_is_lost(capsys, kind):
    second = ["s", "m"] if kind == "text" else ["0.5", "0.25"]
    table = "".join(f"{('red', 'blue')[k % 2]},{second[k // 2 % 2]},{'yn'[k % 2]}\n" for k in range(60))
    Path("bare.csv").write_text(table)
    status, _, err = call(train.main, capsys, "bare.csv", "--target", "2", *SHORT, "--out", "s")
    assert status == 0
    assert err.count("the first line was read as data") == 1
    gap = "" if kind == "mixed" else "m"
    rows, err = predicted(capsys, f"red,{second[0]}\nblue,{second[1]}\nred,{second[1]}\n")
    assert (rows, err.count("read as data")) == (3, 1)
    assert predicted(capsys, f"red,{second[0]}\n")[0] == 1
    rows, err = predicted(capsys, f"red,{gap}\nblue,{second[0]}\nred,{second[0]}\n")
    assert rows == 3 or "line 1 has no value" in err
    assert "give --header or --no-header" in predicted(capsys, f"green,\nblue,{second[0]}\n")[1]
    rows, err = predicted(capsys, f"colour,size\nred,{second[0]}\nblue,{second[1]}\n")
    assert rows == 2
    assert ("read as column names" in err) == (kind == "text")
    rows, err = predicted(capsys, "colour,size\n", "s", "--header")
    assert (rows, err.count("has no rows to predict")) == (0, 1)


def test_predict_heeds_what_the_run_was_told_of_the_first_line(capsys):
    Path("bare.csv").write_text(
        "".join(f"{'ab'[k % 2]},{'st'[k % 3 % 2]},{'yn'[k % 2]}\n" for k in range(60))
    )
    told = call(train.main, capsys, "bare.csv", "--target", "2", *SHORT, "--out", "s", "--no-header")
    assert (told[0], told[2]) == (0, "")
    assert predicted(capsys, "a,s\nb,t\n") == (2, "")
    rows, err = predicted(capsys, "new,size\na,s\n")
    assert (rows, err.count("read as data, as in the run; use --header if it holds column names")) == (2, 1)
    Path("named.csv").write_text("new,size,kept\n" + Path("bare.csv").read_text())
    err = call(evaluate.main, capsys, "s", "--dataset", "named.csv", "--quiet")[2]
    assert err.count("read as data, as in the run; use --header if it holds column names") == 1
    line = refused(evaluate.main, capsys, "s", "--dataset", "bare.csv", "--header", "--quiet")
    assert "is not a column" in line
    assert call(evaluate.main, capsys, "s", "--dataset", "bare.csv", "--quiet")[2].count("as in the run") == 0
    assert predicted(capsys, "new,size\na,s\n", "s", "--header") == (1, "")
    assert predicted(capsys, "new,size\na,t\nb,s\n", "s/model.safetensors")[0] == 3
    Path("s/config.json").write_text("{")
    rows, err = predicted(capsys, "new,size\na,t\nb,s\n")
    assert (rows, err.count("read as column names")) == (2, 1)


def test_names_as_training_had_them_are_no_guess(capsys):
    """Though they are numbers, as pandas writes those of an array."""
    lines = "".join(f"{k % 7}.5,{k % 5}.25,{'yn'[k % 2]}\n" for k in range(60))
    Path("array.csv").write_text("0,1,label\n" + lines)
    told = call(train.main, capsys, "array.csv", "--target", "label", *SHORT, "--out", "s")
    assert told[0] == 0
    Path("rest.csv").write_text("0,1,label\n" + lines[:200].rpartition("\n")[0] + "\n")
    assert call(evaluate.main, capsys, "s", "--dataset", "rest.csv", "--quiet") == (0, "", "")
    assert predicted(capsys, "0,1\n1.5,2.25\n") == (1, "")
    assert predicted(capsys, "1,0\n1.5,2.25\n")[1].count("--no-header if it is data") == 1


def test_names_of_training_tell_rows_of_text(capsys):
    Path("trees.csv").write_text(
        "tree,size,fell\n" + "".join(f"{'ab'[k % 2]},{'st'[k % 3 % 2]},{'yn'[k % 2]}\n" for k in range(60))
    )
    told = call(train.main, capsys, "trees.csv", "--target", "fell", *SHORT, "--out", "s")
    assert (told[0], told[2]) == (0, "")
    assert predicted(capsys, "size,tree\ns,a\n") == (1, "")
    rows, err = predicted(capsys, "a,s\n")
    assert (rows, err.count("read as data")) == (1, 1)
    assert (
        "columns are missing: give size; did you mean 'sizes'?" in predicted(capsys, "tree,sizes\na,s\n")[1]
    )
    assert "columns are missing" in predicted(capsys, "Tree,Size\na,s\n")[1]
    assert "may hold column names or data, q, r: give" in predicted(capsys, "q,r\n")[1]


@pytest.mark.parametrize("first", ["2019,2020,2021,cls", "place,2019,2020,cls"])
def test_years_that_may_be_names_are_asked_about_in_training(capsys, first):
    text = "place" in first
    Path("years.csv").write_text(
        f"{first}\n"
        + "".join(
            f"{'pq'[k % 2] if text else k % 9},{k % 7},{k % 5},{('up', 'down')[k % 2]}\n" for k in range(60)
        )
    )
    line = refused(train.main, capsys, "years.csv", *SHORT, "--out", "s")
    assert f"may hold column names or data, {first.replace(',', ', ')}: give" in line
    flags = ["--header", "--target", "cls"]
    assert call(train.main, capsys, "years.csv", *SHORT, "--out", "s", *flags)[0] == 0
    assert load_model(Path("s/model.safetensors")).class_names == ("down", "up")
