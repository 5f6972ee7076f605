"""Optuna's studies, by stacks of trials."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import Mock

import pytest
from sweeps import BASE, alone, blobs, optimize_in_storage, stop_after

from xpnet.errors import InputError
from xpnet.sweep import Choice, LogUniform, Uniform, asktell
from xpnet.sweep.plan import Cut

optuna = pytest.importorskip("optuna", reason="optuna is not installed")

SPACE = {
    "learning_rate": LogUniform(1e-4, 1.0),
    "reg": Uniform(0.0, 0.1),
    "hidden": Choice([(), (4,), (6, 5)]),
    "seed": Choice([1, 2, 3]),
    "learning_rate_decay": 0.9,
}


@pytest.fixture(autouse=True)
def _quiet():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture
def study():
    return optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))


def states(study):
    return [trial.state.name for trial in study.trials]


def test_trials_are_told_their_validation_accuracy(study):
    asktell.optimize(study, SPACE, BASE, blobs(), trials=10, stack=4)
    assert states(study) == ["COMPLETE"] * 10
    for trial in study.trials:
        config = asktell.config_for(trial, SPACE, BASE)
        assert trial.params["learning_rate"] == config.learning_rate
        assert 1e-4 <= config.learning_rate <= 1
        assert trial.params["reg"] == config.reg
        assert config.hidden in [(), (4,), (6, 5)]
        assert config.learning_rate_decay == 0.9
        assert config.batch_seed == BASE.seed
        assert trial.value == alone(config, blobs()).summary["val_accuracy"]
    assert len({trial.params["hidden"] for trial in study.trials}) > 1
    assert len({trial.params["seed"] for trial in study.trials}) > 1


def test_each_network_can_have_batches_of_its_own(study):
    asktell.optimize(study, SPACE, BASE, blobs(), trials=3, share_batches=False)
    for trial in study.trials:
        config = asktell.config_for(trial, SPACE, BASE, share_batches=False)
        assert config.batch_seed is None
        assert trial.value == alone(config, blobs()).summary["val_accuracy"]


def test_a_stack_is_asked_for_before_any_of_it_is_told(study):
    """And all of it is trained by one sweep."""
    seen = []

    def watch():
        seen.append(tuple(states(study)))
        return False

    asktell.optimize(study, {"reg": Uniform(0, 1)}, BASE, blobs(), trials=5, stack=3, should_stop=watch)
    assert set(seen) == {("RUNNING",) * 3, ("COMPLETE",) * 3 + ("RUNNING",) * 2}


def test_a_trial_that_diverges_fails(study):
    for reg in (0.01, 1e25, 0.02):
        study.enqueue_trial({"reg": reg})
    asktell.optimize(study, {"reg": Uniform(0, 1e26), "learning_rate": 1.0}, BASE, blobs(), trials=3)
    assert states(study) == ["COMPLETE", "FAIL", "COMPLETE"]


def test_a_sampler_learns_from_stacks():
    """A model-based one, which asks what its running trials are at."""
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(n_startup_trials=8, constant_liar=True, seed=0),
    )
    space = {"learning_rate": LogUniform(1e-6, 1.0)}
    asktell.optimize(study, space, BASE, blobs(), trials=32, stack=8)
    rates = [trial.params["learning_rate"] for trial in study.trials]
    assert len(set(rates)) == 32
    # Half of random draws lie below 1e-3, where nothing is learnt.
    assert sum(rate > 1e-3 for rate in rates[16:]) > 10


def test_a_study_in_a_database_goes_on_in_another_process(tmp_path):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    study = optuna.create_study(study_name="there", storage=url, direction="maximize")
    asktell.optimize(study, SPACE, BASE, blobs(), trials=5, stack=3)
    arguments = (url, "there", SPACE, {"trials": 4, "stack": 4})
    process = multiprocessing.get_context("spawn").Process(target=optimize_in_storage, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == 0
    process.close()
    again = optuna.load_study(study_name="there", storage=url)
    assert states(again) == ["COMPLETE"] * 9
    for trial in again.trials:  # hidden layers among them, which a database keeps as text
        config = asktell.config_for(trial, SPACE, BASE)
        assert trial.value == alone(config, blobs()).summary["val_accuracy"]


def test_chunks_may_go_to_an_executor(study):
    with ThreadPoolExecutor(2) as executor:
        asktell.optimize(study, SPACE, BASE, blobs(), trials=4, max_nets=1, executor=executor)
    assert states(study) == ["COMPLETE"] * 4


# Interruption


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_stack_leaves_no_trial_running(study, monkeypatch, error):
    asktell.optimize(study, SPACE, BASE, blobs(), trials=2, stack=2)
    monkeypatch.setattr(asktell, "run", Mock(side_effect=error))
    with pytest.raises(error):
        asktell.optimize(study, SPACE, BASE, blobs(), trials=6, stack=3)
    assert states(study) == ["COMPLETE"] * 2 + ["FAIL"] * 3


def test_an_interrupted_question_leaves_no_trial_running(study, monkeypatch):
    asked = iter([study.ask, study.ask, Mock(side_effect=KeyboardInterrupt)])
    monkeypatch.setattr(study, "ask", lambda: next(asked)())
    with pytest.raises(KeyboardInterrupt):
        asktell.optimize(study, SPACE, BASE, blobs(), trials=5, stack=5)
    assert states(study) == ["FAIL"] * 2


def test_what_is_done_when_it_is_stopped_counts(study, monkeypatch):
    monkeypatch.setattr("xpnet.sweep.workers.choose_cut", lambda *_: Cut(1))
    space = {"reg": Uniform(0, 0.1)}
    # 40 steps each: in the middle of the third of four, and a stack is still to come.
    asktell.optimize(study, space, BASE, blobs(), trials=8, stack=4, should_stop=stop_after(100))
    assert states(study) == ["COMPLETE"] * 2 + ["FAIL"] * 2


# What cannot be used


@pytest.mark.parametrize("directions", [["minimize"], ["maximize", "maximize"]])
def test_the_study_has_to_maximize_one_value(directions):
    study = optuna.create_study(directions=directions)
    with pytest.raises(InputError, match='create it with direction="maximize"'):
        asktell.optimize(study, SPACE, BASE, blobs(), trials=1)
    assert study.trials == []


@pytest.mark.parametrize("options", [{"trials": 0}, {"trials": 3, "stack": 0}])
def test_counts_have_to_be_at_least_one(study, options):
    with pytest.raises(InputError, match="at least 1"):
        asktell.optimize(study, SPACE, BASE, blobs(), **options)


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ({"hidden": Choice([(3,), (9,)])}, "the study has another distribution for hidden"),
        ({"reg": Choice([0.1, 0.2])}, "the study has another distribution for reg"),
        ({"learning_rat": Uniform(0, 1)}, "did you mean learning_rate?"),
        ({"init_std": Uniform(-2, -1)}, "--init-std must be"),
        ({"reg": [0.1, 0.2]}, "reg is a plain list: give Choice([0.1, 0.2])"),
        ({"reg": object()}, "reg cannot be drawn from an object of object"),
    ],
)
def test_a_space_that_does_not_fit_is_one_line_and_leaves_no_trial_running(study, space, words):
    asktell.optimize(study, SPACE, BASE, blobs(), trials=2)
    with pytest.raises(InputError) as caught:
        asktell.optimize(study, space, BASE, blobs(), trials=2)
    assert words in str(caught.value)
    assert ("another distribution" in str(caught.value)) == ("another distribution" in words)
    assert "\n" not in str(caught.value)
    assert states(study) == ["COMPLETE", "COMPLETE", "FAIL"]
