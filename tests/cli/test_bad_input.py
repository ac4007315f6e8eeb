"""Whatever the user can mend ends with status 2 and a message that says how, not with a traceback."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import HOPPER, TINY, fit, last, options, read_checkpoint, refused
from filelock import FileLock

from spar_lightning.cli import main
from spar_lightning.cli.run.run_folder import LOCK

Place = tuple[Any, ...]
"""Names and numbers that lead to an entry, from the outside in."""


def places(entry: Any, before: Place = ()) -> Iterator[Place]:
    """Where every entry inside of an entry is."""
    parts = entry.items() if isinstance(entry, dict) else enumerate(entry) if isinstance(entry, list) else ()
    for name, part in parts:
        yield (*before, name)
        yield from places(part, (*before, name))


def put(entry: Any, place: Place, value: Any) -> None:
    """Replace what is at a place."""
    for name in place[:-1]:
        entry = entry[name]
    entry[place[-1]] = value


def drop(entry: Any, place: Place) -> None:
    """Remove what is at a place."""
    for name in place[:-1]:
        entry = entry[name]
    del entry[place[-1]]


@pytest.mark.parametrize("name", ["model.kapa", "model.kap", "trainer.max_step", "bc.model.hiden_dims", "mode.kappa"])
def test_misspelt_and_abbreviated_options(capsys: pytest.CaptureFixture[str], name: str) -> None:
    message = refused(capsys, "fit", *TINY, f"--{name}", "3")
    assert f"--{name}" in message.splitlines()[-1]


def test_a_misspelt_key_in_a_config(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "typo.yaml").write_text("model:\n  kapa: 3\n")
    assert "kapa" in refused(capsys, "fit", "--config", str(tmp_path / "typo.yaml"), *TINY).splitlines()[-1]


def test_a_config_in_json_may_have_tabs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "tabs.json").write_text('{\n\t"model": {\n\t\t"kappa": -1\n\t}\n}\n')
    message = refused(capsys, "fit", "--config", str(tmp_path / "tabs.json"), "--data.dataset", HOPPER)
    assert "`kappa` is -1" in message, "it was read"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trainer: [1\n", " in line 2, column 1): mend or remove it"),
        ("trainer: {max_steps: '${oc.env:NO_SUCH}'}", "`trainer.max_steps` cannot be resolved (Key"),
        ("trainer: {max_steps: \a}", "is no YAML ("),
        ("trainer: {max_steps: '${steps}'}", "(Interpolation key '..steps' not found (resolved to 'steps'))"),
    ],
    ids=["no YAML", "an environment variable", "a character", "a reference"],
)
def test_a_config_that_cannot_be_read(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "odd.yaml").write_text(text)
    said = refused(capsys, "fit", "--config", str(tmp_path / "odd.yaml"), "--data.dataset", HOPPER).strip()
    assert message in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("name", ['""', '"max steps"', "3"])
def test_a_key_that_can_be_no_setting(capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str) -> None:
    (tmp_path / "odd.yaml").write_text(f"trainer: {{{name}: 3}}")
    message = refused(capsys, "fit", "--config", str(tmp_path / "odd.yaml"), *TINY)
    assert "there is no setting '{}'".format(name.strip('"')) in message.splitlines()[-1]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"data__dataset": "spar/hoper/medium-replay-v0"}, "did you mean `spar/hopper/medium-replay-v0`"),
        ({"data__dataset": "nobody/nothing-v0"}, "nobody/nothing-v0"),
        ({"data__dataset": "ftp://example.org/data.hdf5"}, "expected http:// or https://"),
        ({"data__dataset": "nowhere/data.hdf5"}, "nowhere/data.hdf5"),
        ({"data__reward_scale": 0}, "`reward_scale` is 0"),
        ({"data__max_episode_steps": 0}, "`max_episode_steps` is 0"),
        ({"data__storage": "disk"}, "storage"),
        ({"data__batch_size": 0}, "`batch_size` is 0"),
        ({"seed_everything": -1}, "`seed_everything` is -1, expected 0 to 4294967295"),
        ({"seed_everything": 2**32}, "`seed_everything` is 4294967296"),
        ({"trainer__accelerator": "tpu"}, "the trainer refuses its settings, `trainer`: "),
        ({"data__filter": "{episodes: [99999999999999999999]}"}, "`filter.episodes` names 99999999999999999999"),
        ({"trainer__max_steps": 0}, "`trainer.max_steps` is 0"),
        ({"trainer__devices": 5000, "trainer__accelerator": "cpu"}, "`trainer.devices` is 5000, expected at most"),
        ({"trainer__max_epochs": 0}, "`trainer.max_epochs` is 0, with which nothing is trained"),
        ({"bc__trainer__limit_train_batches": 0}, "`bc.trainer.limit_train_batches` is 0"),
        ({"trainer__check_val_every_n_epoch": 0}, "`trainer.check_val_every_n_epoch` is 0"),
        ({"trainer__devices": "-3"}, "the trainer refuses its settings, `trainer`: "),
        (
            {"trainer__callbacks": "[{class_path: spar_lightning.callbacks.RolloutEvaluation}]"},
            "more than one stateful",
        ),
        ({"trainer__max_steps": -1}, "`trainer.max_steps` is -1"),
        ({"bc__trainer__max_steps": 0}, "`bc.trainer.max_steps` is 0"),
        ({"callbacks__rollout__num_episodes": -1}, "num_episodes is -1"),
        ({"callbacks__rollout__num_episodes": 1000000000}, "num_episodes is 1000000000"),
        ({"callbacks__rollout__final_episodes": 1000000000}, "final_episodes is 1000000000"),
        ({"callbacks__rollout__first_seed": -1}, "first_seed is -1"),
        ({"callbacks__residual__every_n_updates": -1}, "interval of -1"),
        ({"trainer__val_check_interval": 0}, "`trainer.val_check_interval` is 0"),
        ({"trainer__val_check_interval": "on"}, "trainer.val_check_interval"),
        ({"trainer__val_check_interval": "00:00:10:00"}, "`trainer.val_check_interval` is '00:00:10:00'"),
        ({"bc__trainer__val_check_interval": "{minutes: 5}"}, "`bc.trainer.val_check_interval` is {'minutes': 5}"),
        ({"bc__trainer__log_every_n_steps": 0}, "`bc.trainer.log_every_n_steps` is 0"),
        ({"trainer__precision": "64-true"}, "`trainer.precision` is 64-true"),
        ({"data__batch_size": "null"}, "data.batch_size"),
        ({"model__kappa": "much"}, "model.kappa"),
        ({"model__critic_target": "montecarlo"}, "critic_target"),
        ({"stage": "both"}, "stage"),
        ({"config": "nowhere.yaml"}, "nowhere.yaml"),
        ({"ckpt_path": "nowhere.ckpt"}, "there is no checkpoint nowhere.ckpt"),
        ({"bc__ckpt_path": "nowhere.ckpt"}, "there is no checkpoint nowhere.ckpt"),
    ],
    ids=lambda value: "-".join(f"{key}={item}" for key, item in value.items()) if isinstance(value, dict) else "",
)
def test_a_value_that_cannot_be(capsys: pytest.CaptureFixture[str], changes: dict[str, str], expected: str) -> None:
    arguments = ["fit", "--data.dataset", HOPPER, *TINY, *options(**changes)]
    assert expected in refused(capsys, *arguments)


ALIASES = "\n".join(
    [f"a0: &a0 [{', '.join('1' * 9)}]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9))]
)
"""Nine lists, each of nine times the one before."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data: {batch_size: null}", "`data.batch_size` is null, expected a value"),
        ("data: null", "`data` is null, expected settings"),
        ("model: {warmup_steps: null}", "`model.warmup_steps` is null, expected a value"),
        ("bc: {trainer: null}", "`bc.trainer` is null, expected settings"),
        ("seed_everything: null", "`seed_everything` is null, expected 0 to"),
        ("algorithm: null", "`algorithm` is null, expected a value"),
        ("callbacks: {offline_check: null}", "`callbacks.offline_check` is null, expected settings"),
        ("callbacks: {offline_check: 3}", "`callbacks.offline_check` is 3, expected settings"),
        ("data: &d {dataset: *d}", "null.yaml is nested too deeply, or holds itself"),
        (ALIASES, "null.yaml holds more than 1,000,000 values with its aliases written out"),
        (f"model: {'[' * 3000}{']' * 3000}", "nested too deeply, or holds itself"),
        (f"model: {'{a: ' * 300}1{'}' * 300}", "null.yaml is nested too deeply"),
    ],
)
def test_a_null_in_a_config(capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "null.yaml").write_text(text)
    assert expected in refused(capsys, "fit", "--config", str(tmp_path / "null.yaml"))


@pytest.mark.parametrize("key", ["trainer.val_check_interval", "bc.trainer.val_check_interval"])
def test_a_truth_value_in_a_config(capsys: pytest.CaptureFixture[str], tmp_path: Path, key: str) -> None:
    stage, name = key.rsplit(".", 1)
    nested = f"trainer: {{{name}: on}}"
    (tmp_path / "on.yaml").write_text(f"bc: {{{nested}}}" if stage.startswith("bc") else nested)
    message = refused(capsys, "fit", "--data.dataset", HOPPER, *TINY, "--config", str(tmp_path / "on.yaml"))
    assert key in message
    assert "True" in message


@pytest.mark.parametrize("key", ["trainer", "bc.trainer"])
@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("{monitor: nothing, check_on_train_epoch_end: false}", "`{key}.callbacks`, EarlyStopping, failed in `on_"),
        ("{monitor: loss, mode: sideways}", "`{key}.callbacks` names EarlyStopping, which cannot be made so: "),
    ],
)
def test_a_callback_that_gives_up(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, key: str, settings: str, expected: str
) -> None:
    stopping = f"{{class_path: lightning.pytorch.callbacks.EarlyStopping, init_args: {settings}}}"
    nested = f"trainer: {{callbacks: [{stopping}]}}"
    (tmp_path / "stop.yaml").write_text(f"bc: {{{nested}}}" if key.startswith("bc") else nested)
    message = refused(capsys, "fit", "--data.dataset", HOPPER, *TINY, "--config", str(tmp_path / "stop.yaml"))
    assert expected.format(key=key) in message


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"model__sigma": -1}, "sigma"),
        ({"model__num_candidates": 0}, "num_candidates"),
        ({"model__discount": 1.5}, "discount"),
        ({"model__actor_every": 0}, "actor_every"),
        ({"model__num_critics": 0}, "num_critics"),
        ({"model__latent_bound": 0}, "latent_bound"),
        ({"model__hidden_dims": [-4]}, "hidden_dims"),
        ({"model__expectile": 2}, "expectile"),
        ({"model__averaged_share": 0}, "averaged_share"),
        ({"model__step": 0}, "step"),
        ({"model__step": 1.5}, "step"),
        ({"model__freeze_critic": "true", "model__critic_target": "policy"}, "freeze_critic"),
        ({"bc__model__learning_rate": -1}, "learning_rate"),
        ({"trainer__accelerator": "abacus"}, "abacus"),
        ({"trainer__accumulate_grad_batches": 2}, "`trainer.accumulate_grad_batches` is 2, but modules step their"),
        ({"model__warmup_steps": 0, "model__freeze_critic": "true"}, "`warmup_steps` is 0, and critics that nothing"),
        ({"run_dir": ""}, "an empty path was given, expected the name of a file or folder; the current folder is `.`"),
        ({"run_dir": os.fsdecode(b"b\xfcro")}, r"the path b'b\xfcro' is not in UTF-8"),
        ({"data__dataset": "null"}, "`data.dataset` is null, expected a value"),
        ({"trainer__gradient_clip_val": 1}, "gradient_clip"),
        ({"bc__trainer__gradient_clip_val": 1}, "use --bc.model.gradient_clip_norm"),
    ],
    ids=lambda value: "-".join(f"{key}={item}" for key, item in value.items()) if isinstance(value, dict) else "",
)
def test_a_number_out_of_range(capsys: pytest.CaptureFixture[str], changes: dict[str, str], expected: str) -> None:
    arguments = ["fit", "--data.dataset", HOPPER, *TINY, *options(**changes)]
    assert expected in refused(capsys, *arguments)
    assert [*Path().iterdir()] == [], "what is refused leaves nothing behind, and no base was trained"


def test_a_folder_that_cannot_be_written_to(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    message = refused(capsys, "fit", "--run_dir", str(tmp_path / "file" / "run"), *TINY)
    assert f"cannot write to the run folder {tmp_path / 'file' / 'run'}" in message
    assert "--run_dir" in message


@pytest.mark.parametrize("command", [("fit", "--ckpt_path"), ("fit", "--bc.ckpt_path"), ("validate", "--ckpt_path")])
@pytest.mark.parametrize("damage", ["cut", "empty", "text", "yaml"])
def test_a_damaged_checkpoint(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, finished_run: Path, command: tuple[str, str], damage: str
) -> None:
    whole = last(finished_run).read_bytes()
    path = tmp_path / "damaged.ckpt"
    path.write_bytes(
        {"cut": whole[: len(whole) // 2], "empty": b"", "text": b"e\n", "yaml": b"trainer:\n  max_steps: 3\n"}[damage]
    )
    name, option = command
    settings = TINY if name == "fit" else []
    message = refused(capsys, name, "--data.dataset", HOPPER, *settings, option, str(path))
    assert f"{path} cannot be read as a checkpoint" in message
    assert "weights_only" not in message  # torch's advice to load it all the same is no remedy


def resumed(capsys: pytest.CaptureFixture[str], checkpoint: dict[str, Any], path: Path) -> str:
    """Try to go on from a checkpoint; gives the message of a refusal, empty where there is none."""
    torch.save(checkpoint, path)
    arguments = ["fit", "--data.dataset", HOPPER, *TINY, "--trainer.max_steps", "60", "--ckpt_path", str(path)]
    status = 0
    try:
        main([*arguments, "--run_dir", str(path.with_suffix(""))])
    except SystemExit as exit_:
        status = int(exit_.code or 0)
    message = capsys.readouterr().err
    assert status in (0, 2)
    assert "Traceback" not in message
    return message.rpartition("error: ")[2] if status else ""


@pytest.mark.parametrize(
    ("place", "value", "key"),
    [
        (("loops",), 5, "`loops` is 5"),
        (("loops", "fit_loop", "epoch_loop.batch_progress", "total", "ready"), "x", "`loops.fit_loop.epoch_loop."),
        (("loops", "fit_loop", "state_dict", "combined_loader"), [{}], "combined_loader[0].position` is missing"),
        (("global_step",), "forty", "`global_step` is 'forty'"),
        (("global_step",), -40, "`global_step` is -40"),
        (("optimizer_states",), {}, "`optimizer_states` is a dict"),
        (("optimizer_states", 0, "param_groups", 0, "eps"), None, "`optimizer_states[0].param_groups[0].eps` is"),
        (("datamodule_hyper_parameters",), [1], "`datamodule_hyper_parameters` is a list"),
        (("datamodule_hyper_parameters", "dataset"), 3, "`datamodule_hyper_parameters.dataset` is 3"),
        (("callbacks", "RolloutEvaluation", "history"), [{"step": "x"}], "`callbacks.RolloutEvaluation.history[0]."),
        (("callbacks", "ResumableCheckpoint", "random_states"), 7, "ResumableCheckpoint.random_states` is 7"),
        (("optimizer_states",), [], "`optimizer_states` are of 0, expected 3"),
        (("optimizer_states", 0, "state", 0, "exp_avg"), torch.zeros(3), "hold exp_avg of network 0 as (3,)"),
        (("callbacks", "ResumableCheckpoint", "random_states"), [], "`random_states` are empty"),
        (("pytorch-lightning_version",), "newest", "`pytorch-lightning_version`"),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_an_entry_of_another_kind(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, finished_run: Path, place: Place, value: Any, key: str
) -> None:
    checkpoint = read_checkpoint(last(finished_run))
    put(checkpoint, place, value)
    assert key in resumed(capsys, checkpoint, tmp_path / "odd.ckpt")


@pytest.mark.parametrize("command", ["test", "validate"])
@pytest.mark.parametrize("odd", [{"columns": {"observations": [5]}}, {"success_reward": "some"}, {"mask": 3}], ids=str)
def test_settings_of_the_data_in_a_checkpoint_that_make_no_sense(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, finished_run: Path, command: str, odd: dict[str, Any]
) -> None:
    checkpoint = read_checkpoint(last(finished_run))
    checkpoint["datamodule_hyper_parameters"] |= odd
    torch.save(checkpoint, tmp_path / "odd.ckpt")
    message = refused(capsys, command, "--ckpt_path", str(tmp_path / "odd.ckpt"))
    assert f'settings of the data that make no sense (Parser key "data.{next(iter(odd))}"' in message


def test_a_group_of_parameters_without_a_setting(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, finished_run: Path
) -> None:
    checkpoint = read_checkpoint(last(finished_run))
    del checkpoint["optimizer_states"][0]["param_groups"][0]["eps"]
    expected = "`optimizer_states[0].param_groups[0].eps` is missing"
    assert expected in resumed(capsys, checkpoint, tmp_path / "odd.ckpt")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30))
def test_no_mutation_of_a_checkpoint_ends_in_a_traceback(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, finished_run: Path, seed: int
) -> None:
    checkpoint, choice = read_checkpoint(last(finished_run)), random.Random(seed)
    checkpoint["hyper_parameters"] = dict(checkpoint["hyper_parameters"])
    groups: dict[Any, list[Place]] = {}
    for place in places(checkpoint):  # as many of each entry, however large it is
        groups.setdefault(place[0], []).append(place)
    place = choice.choice(groups[choice.choice(sorted(groups))])
    if choice.random() < 0.3:
        drop(checkpoint, place)
    else:
        put(checkpoint, place, choice.choice([None, "text", -3, 0.5, True, [], {}, [1], {"a": 1}, torch.zeros(3)]))
    message = resumed(capsys, checkpoint, tmp_path / "odd.ckpt")
    assert len(message.strip().splitlines()) <= 1, (place, message)


def test_an_evaluation_needs_a_checkpoint(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("validate", "test"):
        assert "--ckpt_path" in refused(capsys, command, "--data.dataset", HOPPER)


@pytest.mark.parametrize("arguments", [(), ("train",), ("collect",), ("collect", "spar/hoper/medium-v0")], ids=" ".join)
def test_commands_that_are_not_there(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    refused(capsys, *arguments)


def test_one_training_at_a_time_in_a_folder(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, finished_run: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished_run, folder)
    unfinished = folder / "checkpoints" / "last.ckpt.0123abcd.tmp"
    unfinished.write_bytes(b"half")  # as the other training leaves it if it is killed
    more = ("fit", "--resume", str(folder), "--trainer.max_steps", "60")

    def files() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.name != LOCK}

    before = files()
    with FileLock(folder / LOCK):
        assert f"another training goes on in the run folder {folder}" in refused(capsys, *more)
    assert files() == before
    main(more)
    assert not unfinished.exists()
    with FileLock(folder / LOCK, timeout=0):  # it is given back
        pass


def test_nothing_is_left_behind(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    refused(capsys, "fit", *TINY, "--data.dataset", "spar/hoper/medium-replay-v0")
    refused(capsys, "fit", *TINY, "--data.dataset", HOPPER, "--ckpt_path", "nowhere.ckpt")
    assert list(tmp_path.iterdir()) == []


def test_a_loss_that_is_no_number_ends_the_run_with_advice(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as exit_:
        fit(tmp_path / "run", "--model.critic_learning_rate", "1e30", "--trainer.max_steps", "100")
    assert exit_.value.code == 2
    assert "NaN or infinite" in capsys.readouterr().err


# ----------------------------------------------------------------------------------- data, before anything is made


def arrays(rows: int = 200) -> dict[str, Any]:
    """Episodes of 20 steps of noise."""
    generator = np.random.default_rng(0)
    return {
        "observations": generator.normal(size=(rows, 3)).astype(np.float32),
        "actions": generator.uniform(-1, 1, size=(rows, 2)).astype(np.float32),
        "rewards": generator.normal(size=rows),
        "terminals": np.zeros(rows, bool),
        "timeouts": np.arange(rows) % 20 == 19,
    }


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        ("nan", "`observations` has 1 NaN or infinite value(s)"),
        ("inf", "`rewards` has 1 NaN or infinite value(s)"),
        ("constant", "is the dimension constant?"),
        ("damaged", "cannot be read"),
        ("units", "are outside the environment's bounds"),
    ],
)
@pytest.mark.parametrize("storage", ["memory", "map"])
def test_bad_data_are_refused_before_anything_is_made(
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    damage: str,
    expected: str,
    storage: str,
) -> None:
    content, path, settings = arrays(), tmp_path / "mine.npz", ["--data.storage", storage]
    if damage == "nan":
        content["observations"][7, 1] = np.nan
    elif damage == "inf":
        content["rewards"][7] = np.inf
    elif damage == "constant":
        content["actions"][:, 1] = 0.5
    elif damage == "units":
        content["observations"] = np.tile(content["observations"], 4)[:, :11]
        content["actions"] = np.tile(content["actions"], 2)[:, :3] * 300
        settings += ["--data.environment", "Hopper-v5"]
    np.savez_compressed(path, **content)
    if damage == "damaged":
        whole = path.read_bytes()
        path.write_bytes(whole[:300] + bytes(100) + whole[400:])
    with caplog.at_level("INFO"):
        assert expected in refused(capsys, "fit", *TINY, "--data.dataset", str(path), *settings)
    assert "base stage" not in caplog.text
    assert list(tmp_path.iterdir()) == [path]


def test_doubtful_data_are_told_before_anything_is_made(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", **arrays() | {"rewards": np.zeros(200)})
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match=r"All rewards are equal \(0\): only cloning is meaningful"):
        refused(
            *(capsys, "fit", *TINY, "--data.dataset", str(tmp_path / "mine.npz")),
            *("--run_dir", str(tmp_path / "file" / "run")),
        )


def test_a_configuration_of_ones_own_is_not_replaced(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("model: {kappa: 1.2}  # tried and kept\n")
    given = ("--config", str(tmp_path / "config.yaml"), "--run_dir", str(tmp_path), "--data.dataset", HOPPER, *TINY)
    assert "config.yaml was not written by a run, and would be replaced" in refused(capsys, "fit", *given)
    assert "tried and kept" in (tmp_path / "config.yaml").read_text()


def test_a_callback_with_an_enumeration_is_recorded(tmp_path: Path) -> None:
    timer = "{class_path: lightning.pytorch.callbacks.Timer, init_args: {duration: '00:00:00:00'}}"
    (tmp_path / "timer.yaml").write_text(f"trainer: {{callbacks: [{timer}]}}\ndata: {{seed: '${{seed_everything}}'}}")
    fit(tmp_path / "run", "--config", str(tmp_path / "timer.yaml"))
    assert "interval: step" in (tmp_path / "run/config.yaml").read_text()
