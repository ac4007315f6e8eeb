"""Damages files at random and has them read: whatever they hold, the answer is a result or a sentence.

    python tests/fuzz.py 300 --seed 0

Each case is a process of its own with 20 s of a processor and 2 GB. What fails is kept beside `--keep`; once mended, a
small one goes to `tests/corpus`, which `tests/test_fuzz.py` reads again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import fuzz_samples
import torch
import yaml
from torch import Tensor

import spar_lightning.cli.dispatch  # noqa: F401 - so that a fork need not
from spar_lightning.cli import main

SECONDS, BYTES = 20, 2_000_000_000
TOKENS = [b"-1", b"0", b"1e400", b"nan", b"null", b"[]", b"{}", b"999999999999999999", b"\x00", b"\xff\xfe", b".."]
ODD = [None, "text", -3, 0, 0.5, 1e300, float("nan"), True, [], {}, [1], {"a": 1}, "${data}", 10**30, "os.system"]
WORDS = ["", "none", "auto", "cpu", "ddp", "gaussian", "in_sample", "policy", "value_gradient", "action", "bf16-mixed"]
LIKE: dict[type, list[Any]] = {
    bool: [False, True],
    int: [0, 1, 2, 7, -1, 2**63],
    float: [0.0, 1.0, -1.0, 1e-300, 1e39, float("inf"), float("nan")],
    str: [*WORDS, "text" * 100, "/", "../..", "\0", "\ud800", "a\nb", "%(", "{", "é"],
    list: [[], [0], [[]], [None], ["text"], list(range(100))],
    dict: [{}, {"": 0}, {"class_path": "Timer"}, {"class_path": "torch.nn.Linear", "init_args": {}}],
}
"""Of the type that is expected, and yet hardly of use."""

TENSORS: list[Callable[[Tensor], Tensor]] = [
    lambda found: found[None],
    lambda found: found.flatten()[:-1],
    lambda found: found * float("nan"),
    lambda found: torch.full_like(found, 127),
    lambda found: found.to_sparse(),
    lambda found: found.to(torch.complex64),
    lambda found: found.to(torch.float64),
    lambda found: found.to(torch.int64),
    lambda found: found.to(torch.bool),
    lambda found: found.to("meta"),
    lambda found: torch.quantize_per_tensor(found.float(), 0.1, 0, torch.qint8),
]
"""What else a tensor might be."""

# In one process, since those that Lightning starts are this program again.
ALONE = "--trainer.devices 1 --trainer.num_nodes 1 --bc.trainer.devices 1 --bc.trainer.num_nodes 1"
DATA = "--data.dataset {folder}/whole.npz"
TRAINING = f"{DATA} {ALONE}"
FEW = "--trainer.max_steps 8 --bc.trainer.max_steps 4"  # updates, whatever a configuration says
COMMANDS = {
    "minari": "data info fuzz/logs-v0",
    "yaml": f"fit --run_dir new --config {{path}} {TRAINING} --trainer.fast_dev_run true",
    "trained": f"fit --run_dir new --config {{path}} {TRAINING} {FEW}",
    "checkpoint": f"fit --run_dir new --bc.ckpt_path {{path}} {TRAINING} --trainer.fast_dev_run true",
    "resume": f"fit --resume {{path}} {TRAINING} --trainer.max_steps 12",
    "begun": f"fit --resume {{path}} {TRAINING} {FEW}",
    "improvement": f"fit --config {{path.parent.parent}}/config.yaml --run_dir new --ckpt_path {{path}} {TRAINING}"
    " --stage improvement",
    "test": f"test --config {{path.parent.parent}}/config.yaml --ckpt_path {{path}} {DATA}",
    "evaluate": "evaluate {path} --episodes 2 --max_episode_steps 5",
    "export": "export {path} --format npz",
    "ope": f"ope {{path}} --updates 4 --batch_size 8 {DATA}",
    "summarize": "summarize {path.parent}",
    "report": "report {path.parent} --out report",
    "raw": "report {path} --out report --figures false",
    "analyze": "analyze {path} --episodes 2 --states 20",
}
"""What reads a file, by its kind; those that are not here are data sets."""


def damage(path: Path, choice: random.Random) -> None:
    """Change a file, or one of a folder, in one to four places."""
    if path.is_dir():
        path = choice.choice(sorted(file for file in path.rglob("*") if file.is_file()))
    if path.suffix in (".yaml", ".json") and choice.random() < 0.85:
        _damage_settings(path, choice)
    elif path.suffix == ".ckpt" and choice.random() < 0.85:
        _damage_entries(path, choice)
    else:
        content = bytearray(path.read_bytes())
        for _ in range(choice.randrange(1, 5)):
            _damage_bytes(content, choice)
        path.write_bytes(content)


def _damage_bytes(content: bytearray, choice: random.Random) -> None:
    start = choice.randrange(len(content) + 1)
    stop = min(len(content), start + choice.choice([1, 1, 2, 8, 64, len(content)]))
    how = choice.randrange(4)
    if how == 0:
        content[start:stop] = choice.randbytes(stop - start)
    elif how == 1:
        del content[start:stop]
    elif how == 2:
        content[start:start] = content[start:stop]
    else:
        token = choice.choice(TOKENS)
        content[start : start + len(token)] = token


def _damage_settings(path: Path, choice: random.Random) -> None:
    document = yaml.safe_load(path.read_text()) or {"a": 1}  # such as a namespace's, which may be empty
    for _ in range(choice.choice([1, 1, 2, 3])):
        _put(document, choice) if document else None
    path.write_text(json.dumps(document) if path.suffix == ".json" else yaml.safe_dump(document))


def _damage_entries(path: Path, choice: random.Random) -> None:
    document = torch.load(path, map_location="cpu", weights_only=True)
    document = {name: dict(part) if isinstance(part, dict) else part for name, part in document.items()}
    _put(document, choice)
    torch.save(document, path)


def _put(entry: Any, choice: random.Random) -> None:
    """Replace, or remove, an entry at any depth."""
    while True:
        names = list(entry) if isinstance(entry, dict) else list(range(len(entry)))
        (name,) = choice.choices(names, [_leaves(entry[name]) ** 0.5 for name in names])
        if not (isinstance(entry[name], dict | list) and entry[name]) or choice.random() < 0.15:
            break
        entry = entry[name]
    how = choice.random()
    if how < 0.15:
        del entry[name]
    elif how < 0.4:
        entry[name] = choice.choice(ODD)
    elif isinstance(entry[name], Tensor):
        entry[name] = choice.choice(TENSORS)(entry[name])
    else:
        entry[name] = choice.choice(LIKE.get(type(entry[name]), ODD))


def _leaves(entry: Any) -> int:
    parts = entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else ()
    return max(1, sum(map(_leaves, parts)))


def command(kind: str, path: Path, folder: Path) -> list[str]:
    """The command line that reads a file of some kind, or one of a folder."""
    return [part.format(path=path, folder=folder) for part in COMMANDS.get(kind, "data info {path}").split()]


def read(line: Sequence[str], folder: Path) -> str:
    """Run a command line in a process with limits; gives what is wrong with how it ended, empty if nothing is."""
    answer, began = folder / "answer.txt", time.monotonic()
    if not (pid := os.fork()):
        _answer(line, folder, answer)
    while not (found := os.waitpid(pid, os.WNOHANG))[0]:
        if time.monotonic() - began > 10 * SECONDS:
            os.kill(pid, 9)
        time.sleep(0.01)
    status, text = os.waitstatus_to_exitcode(found[1]), answer.read_text(errors="replace")
    if status not in (0, 2) or "Traceback" in text:
        return f"status {status}\n{text[-3000:]}"
    return ""


def _answer(line: Sequence[str], folder: Path, answer: Path) -> NoReturn:
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS + int(time.process_time()), SECONDS + int(time.process_time())))
    resource.setrlimit(resource.RLIMIT_DATA, (BYTES, BYTES))
    status = 1
    try:
        with answer.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        os.chdir(folder)
        os.environ["MINARI_DATASETS_PATH"] = str(folder / "minari")
        os.environ["SPAR_LIGHTNING_CACHE"] = str(folder / "cache")
        main(line)
        status = 0
    except SystemExit as exit_:
        status = exit_.code if isinstance(exit_.code, int) else 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def case(kind: str, seed: int, folder: Path, damaged: Path | None = None) -> tuple[str, Path]:
    """Make a sample, damage it and have it read, or one that was damaged before."""
    path = fuzz_samples.SAMPLES[kind](folder)
    shutil.copy(fuzz_samples.npz(folder), folder / "whole.npz") if DATA in COMMANDS.get(kind, "") else None
    if damaged is None:
        damage(path, random.Random(f"{kind} {seed}"))
    else:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(damaged, path) if damaged.is_dir() else shutil.copy(damaged, path)
    return read(command(kind, path, folder), folder), path


def run(cases: int, seed: int, keep: Path, kinds: Sequence[str]) -> int:
    """Run cases, kinds in turn; gives the number of those that failed."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    torch.set_num_threads(1)
    keep.mkdir(parents=True, exist_ok=True)
    failed = 0
    for number in range(seed, seed + cases):
        kind = kinds[number % len(kinds)]
        with tempfile.TemporaryDirectory() as place:
            wrong, path = case(kind, number, Path(place))
            if wrong:
                failed += 1
                kept = keep / f"{kind}-{number}{path.suffix}"
                shutil.copytree(path, kept) if path.is_dir() else shutil.copy(path, kept)
                print(f"{kept}: {wrong}", flush=True)
        if (number + 1 - seed) % 10 == 0 or number + 1 == seed + cases:
            print(f"{number + 1 - seed} cases, {failed} failed", flush=True)
    return failed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path.cwd())
    parser.add_argument("--kinds", nargs="+", default=list(fuzz_samples.SAMPLES), choices=list(fuzz_samples.SAMPLES))
    found = parser.parse_args()
    sys.exit(min(1, run(found.cases, found.seed, found.keep, found.kinds)))
