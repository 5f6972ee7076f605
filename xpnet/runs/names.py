"""Names of settings: how they are spelt as flags, and which setting an unknown name probably means."""

import difflib
import os
from collections.abc import Collection
from typing import NamedTuple

from xpnet.text import for_shell

__all__ = ["did_you_mean", "flag", "meant", "to_resume"]

_OURS = {
    "activation": "act activation_fn activation_function hidden_activation nonlinearity",
    "averaging": "test_time_augmentation tta",
    "batch_seed": "data_seed shuffle_seed",
    "batch_size": (
        "b batch batchsize bs mini_batch_size minibatch_size per_device_train_batch_size train_batch_size"
    ),
    "beta2": "adam_beta2 beta_2 rho",
    "categorical": (
        "cat_cols cat_features categorical_feature categorical_features categories discrete_features"
    ),
    "checkpoint_every": (
        "checkpoint_freq checkpoint_interval enable_checkpointing every_n_epochs save_every save_freq "
        "save_interval save_period save_steps"
    ),
    "class_weight": "class_weights loss_weights pos_weight scale_pos_weight weights",
    "clip_norm": (
        "clip clip_grad clip_grad_norm clipnorm global_clipnorm grad_clip gradient_clip_val "
        "gradient_clipping max_grad_norm"
    ),
    "components": "n_components num_components pca_components",
    "compile": "jit jit_compile run_eagerly torch_compile",
    "data_dir": "data_path data_root datadir root root_dir",
    "dataset": (
        "csv data data_file data_set file input input_file train train_csv train_data train_file "
        "training_data x"
    ),
    "device": "accelerator cuda devices gpu gpu_id gpus use_cuda use_gpu",
    "dropout": "drop drop_rate dropout_p dropout_prob dropout_rate p_dropout",
    "dtype": "data_type float_type",
    "ema": "ema_decay ema_momentum model_ema polyak use_ema",
    "bagging": "bag bootstrap",
    "ensemble": "ensemble_size n_ensemble n_estimators n_models num_models",
    "epochs": (
        "e epoch max_epoch max_epochs max_iter n_epoch n_epochs nb_epoch num_boost_round num_epoch "
        "num_epochs num_train_epochs"
    ),
    "epsilon": "adam_eps adam_epsilon eps",
    "format": "export_format type",
    "group": "group_col group_column groups",
    "header": "has_header no_head",
    "hidden": (
        "architecture hidden_dim hidden_dims hidden_layer_sizes hidden_layers hidden_size hidden_sizes "
        "hidden_units layer_sizes layers n_hidden num_hidden num_units units width"
    ),
    "ignore": "drop_columns exclude ignored_features skip_columns",
    "init": "initializer kernel_initializer weight_init",
    "init_from": (
        "checkpoint ckpt ckpt_path finetune_from init_checkpoint init_model initial_weights load_from "
        "load_model model model_file pretrained pretrained_model restore restore_from warm_start "
        "warmstart xgb_model"
    ),
    "input": "data data_file dataset file input_file test test_data x",
    "input_dropout": "dropout_in dropout_input",
    "iterations": (
        "iters max_iters max_steps n_iter n_iters n_steps num_iter num_iterations num_iters num_steps "
        "num_train_steps steps train_steps"
    ),
    "label_smoothing": "label_smoothing_factor ls smoothing",
    "learning_rate": (
        "base_lr eta eta0 init_lr initial_learning_rate initial_lr learn_rate learning_rate_init "
        "learningrate lr lr0 max_lr step_size"
    ),
    "learning_rate_decay": "decay_rate gamma lr_decay lr_gamma power_t",
    "loss": "criterion loss_fn loss_func loss_function objective",
    "max_time": "max_runtime max_runtime_secs max_seconds time_budget time_limit time_out timeout",
    "min_delta": "early_stopping_min_delta early_stopping_threshold tol tolerance",
    "mixup": "mix_up mixup_alpha",
    "momentum": "adam_beta1 beta1 beta_1 nesterovs_momentum sgd_momentum",
    "monitor": (
        "early_stopping_metric eval_metric metric metric_for_best_model metrics monitor_op scorer scoring "
        "weighted_metrics"
    ),
    "norm": (
        "batch_norm batch_normalization batchnorm bn layer_norm layernorm normalisation normalization use_bn"
    ),
    "numeric": "cont_names continuous num_cols numerical numerical_features",
    "out": (
        "default_root_dir dest destination log_dir logdir model_dir o outdir output output_dir "
        "output_folder output_path project run_dir save_dir save_path savedir workdir"
    ),
    "output": "o out out_file output_file output_path predictions save save_path",
    "force": "clobber exist_ok f overwrite overwrite_output_dir",
    "patience": (
        "early_stop early_stopping early_stopping_patience early_stopping_rounds load_best_model_at_end "
        "n_iter_no_change restore_best_weights save_best_only stopping_rounds"
    ),
    "peak": "pct_start percent_start",
    "precision": "amp bf16 fp16 half mixed_precision tf32",
    "preprocess": (
        "normalise normalize preprocessing preprocessor scale scaler scaling standardise standardize "
        "transform"
    ),
    "probabilities": "predict_proba prob proba probs return_proba scores",
    "quiet": "enable_model_summary enable_progress_bar progress progress_bar q silent v verbose verbosity",
    "random": "n_iter_search n_trials num_samples num_trials trials",
    "recipe": "preset presets",
    "reg": (
        "alpha kernel_regularizer l2 l2_lambda l2_reg l2_regularization lambda lambda_l2 penalty "
        "reg_lambda regularization"
    ),
    "residual": "residuals resnet skip_connections",
    "resume": "continue initial_epoch resume_from resume_from_checkpoint resume_training",
    "rotation": "degrees random_rotation rotate rotation_range",
    "sampling": "drop_last sampler shuffle",
    "schedule": (
        "decay_type learning_rate_schedule lr_policy lr_schedule lr_scheduler lr_scheduler_type sched "
        "scheduler"
    ),
    "seed": "deterministic manual_seed random_seed random_state rng seed_everything",
    "shift": "height_shift_range translate width_shift_range",
    "size": "image_size img_size imgsz input_size resize target_size",
    "solver": "algorithm opt optim optimiser optimizer optimizers",
    "split": "part subset",
    "step_epochs": "lr_step lr_step_size step_lr",
    "target": (
        "class_column dep_var label label_col label_column labels outcome response target_col "
        "target_column target_name y y_col y_names"
    ),
    "task": "mode problem_type task_type",
    "tensorboard": "log_every_n_steps logger tb use_tensorboard",
    "threads": (
        "cores cpu_threads cpus inter_op_num_threads intra_op_num_threads n_threads nthread nthreads "
        "num_cores num_cpus num_threads omp_num_threads thread thread_count torch_num_threads"
    ),
    "time": "date_col time_col time_column timestamp",
    "train_rows": (
        "max_rows max_train_samples n_rows n_train nrows num_rows num_train train_size train_sizes "
        "training_rows"
    ),
    "validation_fraction": (
        "eval_fraction holdout test_size val_frac val_fraction val_pct val_ratio val_size val_split "
        "valid_fraction valid_pct validation_size validation_split"
    ),
    "warmup": (
        "num_warmup_steps warm_up warmup_epochs warmup_fraction warmup_proportion warmup_ratio warmup_steps"
    ),
    "weight_decay": "adamw_decay decay decoupled_weight_decay wd weightdecay",
}
"""Names of each setting in PyTorch scripts, Lightning, Keras, scikit-learn, fastai, XGBoost and others."""


class _Argument(NamedTuple):
    """A Python argument that is not a setting: its name, its other names, and advice for other places."""

    shown: str
    others: str
    elsewhere: str


_ARGUMENTS = {
    "X_val": _Argument(
        "X_val and y_val",
        "dev_data dev_set eval_data eval_dataset eval_set val val_data val_dataloader val_dataloaders "
        "val_dataset val_set valid valid_data valid_set validation validation_data validation_set x_val "
        "x_valid x_validation y_val y_valid y_validation",
        "give validation rows as X_val and y_val to xpnet.fit or in an .npz file, or set "
        "--validation-fraction",
    ),
    "X_test": _Argument(
        "X_test and y_test",
        "test test_data test_dataloaders test_dataset test_set x_test y_test",
        "give test rows as X_test and y_test to xpnet.fit or in an .npz file, or use xpnet evaluate",
    ),
    "sample_weight": _Argument(
        "sample_weight",
        "instance_weight row_weight row_weights sample_weight sample_weights weight weights",
        "give weights of rows as sample_weight to xpnet.fit or in an .npz file, weights of classes by "
        "--class-weight",
    ),
    "on_epoch": _Argument(
        "on_epoch",
        "callback callbacks epoch_callback on_epoch on_epoch_end on_train_epoch_end",
        "xpnet.fit calls on_epoch after each epoch; --tensorboard logs the epochs",
    ),
    "grid": _Argument(
        "grid",
        "hyperparameters param_distributions param_grid param_space search_space",
        "use xpnet.search or xpnet sweep to try several values",
    ),
    "executor": _Argument(
        "executor",
        "client executor n_jobs n_workers num_workers pool workers",
        "all CPU cores are used anyway: leave it out; executor is an argument of xpnet.search",
    ),
}
"""Arguments of `xpnet.fit` and `xpnet.search` by the names that other tools have for them."""

_NOTHING = (
    "accumulate_grad_batches auto_scale_loss barebones benchmark check_val_every_n_epoch cv datamodule "
    "detect_anomaly enable_autolog_hparams fast_dev_run feature_names fit_params gradient_clip_algorithm "
    "inference_mode limit_predict_batches limit_test_batches limit_train_batches limit_val_batches max_fun "
    "max_queue_size min_epochs min_lr min_steps model_registry num_nodes "
    "num_sanity_val_steps on_train_end overfit_batches pin_memory plugins profiler "
    "reload_dataloaders_every_n_epochs sample_weight_eval_set steps_per_epoch steps_per_execution "
    "strategy sync_batchnorm use_distributed_sampler use_multiprocessing val_check_interval "
    "validation_batch_size validation_freq validation_steps"
)
"""Names in other tools of features that xpnet lacks; similarly spelt settings are not suggested for these."""

_ALIKE = 0.75
"""Minimum similarity of a misspelt name: one letter in four may be wrong."""


def _by_other_name() -> dict[str, list[str]]:
    """Return the settings that each name in another tool may mean, in order of preference."""
    found: dict[str, list[str]] = {}
    for ours, others in _OURS.items():
        for other in others.split():
            found.setdefault(other, []).append(ours)
    return found


_OTHER_NAMES = _by_other_name()


def flag(name: str) -> str:
    """Return the command-line flag of a setting: ``--batch-size`` for ``batch_size``."""
    return "--" + name.replace("_", "-")


def to_resume(folder: str | os.PathLike[str]) -> str:
    """Return the command that continues the run in a folder, as a shell takes it."""
    return f"xpnet train {flag('resume')} {for_shell(folder)}"


def meant(word: str) -> list[str]:
    """Return the settings that a user's word may mean; the setting of that name comes first."""
    plain = _plain(word)
    names = [plain, plain.removeprefix("no_")]
    return names + [ours for name in names for ours in _OTHER_NAMES.get(name, ())]


def did_you_mean(word: str, known: Collection[str]) -> str:
    """Return a hint for a message about an unknown word, or an empty text if nothing is similar.

    Parameters
    ----------
    word
        A setting or flag as the user wrote it, possibly its name in another tool.
    known
        The names or flags that exist.
    """
    word = word.partition("=")[0]
    plain = _plain(word)
    arguments = [name for name, of in _ARGUMENTS.items() if plain in of.others.split()]
    close = [_ARGUMENTS[name].shown for name in arguments if name in known]
    close += [name for ours in meant(word) for name in (ours, flag(ours)) if name in known]
    if close:
        return f": did you mean {close[0]}?"
    if arguments:
        return f": {_ARGUMENTS[arguments[0]].elsewhere}"
    # Without dashes, which would make all flags similar.
    names = {_plain(name): name for name in known}
    alike = [] if plain in _NOTHING.split() else difflib.get_close_matches(plain, names, n=1, cutoff=_ALIKE)
    return f": did you mean {names[alike[0]]}?" if alike else ""


def _plain(word: str) -> str:
    """Return a name or flag, spelt as a name."""
    return word.lstrip("-").replace("-", "_").lower()
