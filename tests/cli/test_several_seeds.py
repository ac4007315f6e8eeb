"""`--num_seeds`: the runs of several seeds in one process."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from commands import HOPPER, TINY, config, fit, last, refused, results, weights

from spar_lightning.cli.run.several_seeds import split_seeds


def test_command_lines_of_the_seeds() -> None:
    assert split_seeds(["fit", "--seed_everything", "3"]) == [["fit", "--seed_everything", "3"]]
    assert split_seeds(["test", "--num_seeds", "2"]) == [["test", "--num_seeds", "2"]]
    first, second = split_seeds(["fit", "--num_seeds=2", "--seed_everything", "3", "--run_dir", "here"])
    assert first[-6:] == ["--num_seeds", "1", "--seed_everything", "3", "--run_dir", "here/seed_3"]
    assert second[4:10] == ["--run_dir", "here", "--num_seeds", "1", "--seed_everything", "4"]
    assert "here/seed_4" in second


def test_four_seeds_in_one_process_are_four_runs(tmp_path: Path) -> None:
    fit(tmp_path / "together", "--num_seeds", "4", "--seed_everything", "5")
    for seed in (5, 6, 7, 8):
        alone = fit(tmp_path / f"alone{seed}", "--seed_everything", str(seed))
        run = tmp_path / "together" / f"seed_{seed}"
        assert results(run)["seed"] == config(run)["seed_everything"] == seed
        for name, value in weights(last(alone)).items():
            assert torch.allclose(value.float(), weights(last(run))[name].float(), atol=1e-4), name
        assert results(run)["score"] == pytest.approx(results(alone)["score"], abs=0.5)
        assert [row["step"] for row in results(run)["history"]] == [row["step"] for row in results(alone)["history"]]
        assert last(run / "base").is_file()


@pytest.mark.parametrize("value", ["0", "-1", "1000000", "some"])
def test_numbers_that_make_no_sense(capsys: pytest.CaptureFixture[str], value: str) -> None:
    assert "`num_seeds` is " in refused(capsys, "fit", "--data.dataset", HOPPER, *TINY, "--num_seeds", value)


def test_a_checkpoint_is_one_seeds(capsys: pytest.CaptureFixture[str], finished_run: Path) -> None:
    message = refused(capsys, "fit", "--num_seeds", "2", "--ckpt_path", str(last(finished_run)))
    assert "go on with all of them by --resume and their common folder, or with each by itself" in message
