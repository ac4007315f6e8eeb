"""The command `ope`: what the data alone say of a checkpoint's policy, where there is no simulator to ask."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from typing import Any

from jsonargparse import Namespace
from tqdm.auto import tqdm

from spar_lightning.cli.command_list import COMMANDS
from spar_lightning.cli.data_of_checkpoint import check_not_fetched, check_not_imported, check_sound
from spar_lightning.cli.parsing.flags import FlagParser
from spar_lightning.cli.parsing.peeking import options
from spar_lightning.cli.printing import only_result_on_stdout, print_json, print_text
from spar_lightning.datasets.sources.reading_settings import READING_SETTINGS
from spar_lightning.datasets.sources.registry import path_named
from spar_lightning.evaluation import PolicyEvaluator
from spar_lightning.offline_evaluation import (
    Settings,
    evaluate_offline,
    evaluation_as_text,
    ranking,
    ranking_as_text,
)
from spar_lightning.replay import OfflineDataModule
from spar_lightning.training import AlgorithmModule, load_trained
from spar_lightning.training.checkpoints import read_checkpoint
from spar_lightning.training.checks import check_dimensions
from spar_lightning.types import CheckpointError, Policy, UserError

NOT_ASKED = {"batch_size", "updates_per_batch", "seed"}
"""Settings of the data that make no difference to an offline evaluation."""

OF_A_FILE = ("sha256", "filter", "top_fraction", *READING_SETTINGS)
"""Settings of the data that speak of the very file that a checkpoint was trained on."""

FIRST_SEED = 10_000
"""Of the simulator's episodes, as in evaluations of a training."""

MOST_ROLLOUTS = 10_000
"""As many episodes as `evaluate` makes."""


def ope(arguments: Sequence[str], program: str) -> None:
    """Run the command.

    Args:
        arguments: what follows the command.
        program: how it was called, the command included.
    """
    parser = make_parser(program)
    given = parser.parse_args(list(arguments))
    with only_result_on_stdout():
        document = _evaluated(parser, given, _named(arguments))
    if given.json:
        print_json(document)
    else:
        print_text(_text(document))


def _named(arguments: Sequence[str]) -> set[str]:
    """The settings that a command line names, as `data.filter` of `--data.filter.min_return 5`."""
    return {".".join(name.removeprefix("--").split(".")[:2]) for name, _ in options(arguments)}


def _text(document: dict[str, Any]) -> str:
    head = f"\n  {document['dataset']}, {document['module']} after {document['updates']:,} updates\n"
    end = "" if document["truth"] is None else f"\n{ranking_as_text(document['truth'])}\n"
    return "\n".join([head, evaluation_as_text(document), end])


def make_parser(program: str) -> FlagParser:
    """The command's arguments."""
    parser = FlagParser(
        prog=program,
        usage=f"{program} CHECKPOINT [--SETTING VALUE ...]",
        description=COMMANDS["ope"],
    )
    parser.add_argument("checkpoint", type=str, help="Checkpoint that `fit` has written.")
    parser.add_argument(
        "--beside", type=list[str], default=[], help="Further checkpoints to evaluate too, as in `[a.ckpt,b.ckpt]`."
    )
    parser.add_argument(
        "--algorithm", type=str | None, default=None, help="Class path of the method, if it is one of your own."
    )
    parser.add_argument(
        "--rollouts",
        type=int,
        default=0,
        help="Episodes of each policy in the simulator, to see how far to trust it all.",
    )
    parser.add_argument("--json", type=bool, default=False, help="Print one JSON document instead of text.")
    parser.add_class_arguments(Settings, as_group=True)
    parser.add_class_arguments(OfflineDataModule, "data", skip=NOT_ASKED)
    parser.set_defaults({"data.dataset": None})  # the checkpoint's
    return parser


def _evaluated(parser: FlagParser, given: Namespace, named: Collection[str]) -> dict[str, Any]:
    settings = Settings(**{name: given[name] for name in Settings.__dataclass_fields__})
    if not 0 <= given.rollouts <= MOST_ROLLOUTS or (given.rollouts and not settings.updates):
        raise UserError(
            f"`rollouts` is {given.rollouts} with {settings.updates} `updates`, expected 0 to {MOST_ROLLOUTS:,}, and"
            " updates where there are rollouts: returns are compared with values"
        )
    module = load_trained(given.checkpoint, given.algorithm)
    further = {path: load_trained(path, given.algorithm) for path in given.beside}
    checkpoint = read_checkpoint(given.checkpoint)
    datamodule = _data_of(checkpoint, parser, given, named)
    for path, one in {given.checkpoint: module, **further}.items():
        check_dimensions(one, datamodule, f"the policy in {path}")
    datamodule.prepare_data()
    datamodule.setup("fit")
    if given.rollouts:
        datamodule.make_environment().close()  # before minutes are spent on values
    with _progress(settings.updates) as goes_on:
        found = evaluate_offline(module, datamodule, settings, further, goes_on)
    truth = _truth(module, further, datamodule, found, given.rollouts) if given.rollouts else None
    head = {"checkpoint": given.checkpoint, "dataset": datamodule.name, "module": type(module).__name__}
    return {**head, "updates": checkpoint.get("global_step", 0), **found, "truth": truth}


def _truth(
    module: AlgorithmModule,
    further: Mapping[str, Policy],
    datamodule: OfflineDataModule,
    found: Mapping[str, Any],
    episodes: int,
) -> dict[str, Any]:
    """What the policies earn in the simulator, and how well their offline values order them."""
    evaluator = PolicyEvaluator(datamodule.make_environment, datamodule.reference_scores)
    with contextlib.closing(evaluator):
        references = {**module.reference_policies(), **further}
        scores = evaluator.evaluate(module, references, range(FIRST_SEED, FIRST_SEED + episodes)).scores
    told = {name: {"return": one.mean_return, "score": one.score, "episodes": episodes} for name, one in scores.items()}
    values = {name: value["mean"] for name, value in found["fqe"]["values"].items()}
    return {"scores": told, **ranking(values, {name: one.mean_return for name, one in scores.items()})}


def _data_of(
    checkpoint: dict[str, Any], parser: FlagParser, given: Namespace, named: Collection[str]
) -> OfflineDataModule:
    """The data that a checkpoint was trained on, but for the settings that the command line names.

    Raises:
        CheckpointError: if it does not say which these are, or says nonsense.
    """
    recorded, settings = checkpoint.get("datamodule_hyper_parameters", {}), given.data
    of_checkpoint = {
        name: recorded[name] for name in vars(settings) if name in recorded and f"data.{name}" not in named
    }
    if settings.dataset is not None and str(path_named(settings.dataset) or settings.dataset) != recorded.get(
        "dataset"
    ):
        for name in OF_A_FILE:
            of_checkpoint.pop(name, None)
    if settings.dataset is None and "dataset" not in recorded:
        raise CheckpointError(f"{given.checkpoint} does not say what it was trained on: name it with --data.dataset")
    check_not_imported(given.checkpoint, of_checkpoint.get("environment"), "--data.environment")
    check_not_fetched(given.checkpoint, of_checkpoint.get("dataset"))
    for name, value in of_checkpoint.items():
        settings[name] = value
    check_sound(given.checkpoint, parser, given)
    return OfflineDataModule(**settings.as_dict())


@contextlib.contextmanager
def _progress(updates: int) -> Generator[Callable[[int], bool]]:
    """A bar of the critics' updates, where someone watches."""
    with tqdm(total=updates, desc="fitted Q evaluation", unit="update", disable=not sys.stderr.isatty()) as bar:

        def goes_on(made: int) -> bool:
            bar.update(made - bar.n)
            return True

        yield goes_on
