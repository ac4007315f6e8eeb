"""Whatever the user can mend ends with status 2 and a message that says how, not with a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import HOPPER, TINY, fit, last, options, refused


@pytest.mark.parametrize("name", ["model.kapa", "model.kap", "trainer.max_step", "bc.model.hiden_dims", "mode.kappa"])
def test_misspelt_and_abbreviated_options(capsys: pytest.CaptureFixture[str], name: str) -> None:
    message = refused(capsys, "fit", *TINY, f"--{name}", "3")
    assert f"--{name}" in message.splitlines()[-1]


def test_a_misspelt_key_in_a_config(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "typo.yaml").write_text("model:\n  kapa: 3\n")
    assert "kapa" in refused(capsys, "fit", "--config", str(tmp_path / "typo.yaml"), *TINY).splitlines()[-1]


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
        ({"trainer__max_steps": 0}, "`trainer.max_steps` is 0"),
        ({"trainer__max_steps": -1}, "`trainer.max_steps` is -1"),
        ({"bc__trainer__max_steps": 0}, "`bc.trainer.max_steps` is 0"),
        ({"callbacks__rollout__num_episodes": -1}, "num_episodes is -1"),
        ({"callbacks__residual__every_n_updates": -1}, "interval of -1"),
        ({"trainer__val_check_interval": 0}, "`trainer.val_check_interval` is 0"),
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


@pytest.mark.parametrize("text", ["data: {batch_size: null}", "model: {warmup_steps: null}", "bc: {trainer: null}"])
def test_a_null_in_a_config(capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str) -> None:
    (tmp_path / "null.yaml").write_text(text)
    assert "null" in refused(capsys, "fit", "--config", str(tmp_path / "null.yaml"), "--data.dataset", HOPPER)


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
        ({"model__actor_tau": 0}, "actor_tau"),
        ({"model__freeze_critic": "true", "model__critic_target": "policy"}, "freeze_critic"),
        ({"bc__model__learning_rate": -1}, "learning_rate"),
        ({"trainer__accelerator": "abacus"}, "abacus"),
        ({"trainer__gradient_clip_val": 1}, "gradient_clip"),
    ],
    ids=lambda value: "-".join(f"{key}={item}" for key, item in value.items()) if isinstance(value, dict) else "",
)
def test_a_number_out_of_range(capsys: pytest.CaptureFixture[str], changes: dict[str, str], expected: str) -> None:
    arguments = ["fit", "--data.dataset", HOPPER, *TINY, *options(**changes)]
    assert expected in refused(capsys, *arguments)


def test_a_folder_that_cannot_be_written_to(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    message = refused(capsys, "fit", "--run_dir", str(tmp_path / "file" / "run"), *TINY)
    assert f"cannot write to the run folder {tmp_path / 'file' / 'run'}" in message
    assert "--run_dir" in message


@pytest.mark.parametrize("command", [("fit", "--ckpt_path"), ("fit", "--bc.ckpt_path"), ("validate", "--ckpt_path")])
@pytest.mark.parametrize("damage", ["cut", "empty", "text"])
def test_a_damaged_checkpoint(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, finished_run: Path, command: tuple[str, str], damage: str
) -> None:
    whole = last(finished_run).read_bytes()
    path = tmp_path / "damaged.ckpt"
    path.write_bytes({"cut": whole[: len(whole) // 2], "empty": b"", "text": b"not a checkpoint\n"}[damage])
    name, option = command
    settings = TINY if name == "fit" else []
    message = refused(capsys, name, "--data.dataset", HOPPER, *settings, option, str(path))
    assert f"{path} cannot be read as a checkpoint" in message
    assert "weights_only" not in message  # torch's advice to load it all the same is no remedy


def test_an_evaluation_needs_a_checkpoint(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("validate", "test"):
        assert "--ckpt_path" in refused(capsys, command, "--data.dataset", HOPPER)


def test_a_base_is_no_result_to_test(capsys: pytest.CaptureFixture[str], finished_run: Path) -> None:
    path = str(last(finished_run / "base"))
    assert "does not hold a SPARModule" in refused(capsys, "test", "--data.dataset", HOPPER, "--ckpt_path", path)


@pytest.mark.parametrize("arguments", [(), ("train",), ("collect",), ("collect", "spar/hoper/medium-v0")], ids=" ".join)
def test_commands_that_are_not_there(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    refused(capsys, *arguments)


def test_nothing_is_left_behind(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    refused(capsys, "fit", *TINY, "--data.dataset", "spar/hoper/medium-replay-v0")
    refused(capsys, "fit", *TINY, "--data.dataset", HOPPER, "--ckpt_path", "nowhere.ckpt")
    assert list(tmp_path.iterdir()) == []


def test_a_loss_that_is_no_number_ends_the_run_with_advice(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as exit_:
        fit(tmp_path / "run", "--model.learning_rate", "1e30", "--trainer.max_steps", "100")
    assert exit_.value.code == 2
    assert "NaN or infinite" in capsys.readouterr().err
