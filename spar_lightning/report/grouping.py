"""Which runs are seeds of one experiment, and how experiments are told apart."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, NamedTuple

from spar_lightning.documents import flat_settings, short_name
from spar_lightning.report.documents import Document, value_of
from spar_lightning.types import UserError


class Task(NamedTuple):
    """What is learned: runs of one file are of several tasks where a suite calls them so, or evaluates elsewhere."""

    dataset: str
    called: str  # by its suite, or as the data set
    environment: str


HOW_UPDATES_RUN = {"compile", "capture"}
"""Settings of a module, or of its base, that change the speed of a training and, but for rounding, no result."""


class Group(NamedTuple):
    """What runs that are seeds of one experiment share."""

    task: Task
    updates: int
    module: str
    settings: str  # as JSON


def task_of(document: Document) -> Task:
    """Of a run."""
    dataset = document["dataset"]
    called = str((document.get("benchmark") or {}).get("data_set") or dataset)
    of_file = short_name(called) == short_name(dataset)  # as a run of no suite has it, by its whole path
    return Task(dataset, dataset if of_file else called, str(document.get("environment_id") or ""))


def grouped(documents: Sequence[Document]) -> dict[Group, list[Document]]:
    """Results by experiment, each group in their order."""
    groups: dict[Group, list[Document]] = defaultdict(list)
    for document in documents:
        settings = json.dumps(_without(HOW_UPDATES_RUN, document.get("settings")), sort_keys=True)
        module = document.get("module", "")  # earlier versions had but one
        groups[Group(task_of(document), document["updates"], module, settings)].append(document)
    return groups


def _without(names: Collection[str], settings: Any) -> Any:
    """Settings without some, at any depth."""
    if not isinstance(settings, dict):
        return settings
    return {name: _without(names, value) for name, value in settings.items() if name not in names}


def newest_of_each_seed(group: Sequence[Document]) -> list[Document]:
    """Sorted by seed, from documents sorted by age; runs without a seed are all different."""
    seeded = {document["seed"]: document for document in group if document["seed"] is not None}
    return [seeded[seed] for seed in sorted(seeded)] + [document for document in group if document["seed"] is None]


def differences(key: Group, groups: Mapping[Group, object]) -> list[str]:
    """The settings of a group that are not those of every group of its task and module, as `name=value`."""
    own = json.loads(key.settings)
    if own is None:
        return ["not recorded"]  # by an earlier version
    others = [flat_settings(json.loads(other.settings)) for other in _beside(key, groups) if other.settings != "null"]
    return [
        f"{name}={json.dumps(value)}"
        for name, value in flat_settings(own).items()
        if any(name not in other or other[name] != value for other in others)
    ]


def _beside(key: Group, groups: Mapping[Group, object]) -> list[Group]:
    """The groups of the same task and module, itself among them."""
    return [group for group in groups if (group.task, group.module) == (key.task, key.module)]


@dataclass(frozen=True)
class Results:
    """Runs by task and method, in the order of their first appearance; runs of one cell are sorted by seed."""

    runs: dict[tuple[str, str], list[Document]]
    repeated: int  # older runs with the same seed and settings, left out
    without_score: int

    @property
    def tasks(self) -> list[str]:
        """Names."""
        return sorted({task for task, _ in self.runs})

    @property
    def methods(self) -> list[str]:
        """Names, as a suite has them; others as their modules."""
        return list(dict.fromkeys(method for _, method in self.runs))

    def of(self, task: str, method: str) -> list[Document]:
        """The runs of a cell, none if there are none."""
        return self.runs.get((task, method), [])


def collect_results(documents: Sequence[Document]) -> Results:
    """Sort results into tasks and methods."""
    scored = [document for document in documents if not math.isnan(value_of(document))]
    groups = grouped(scored)
    cells: dict[tuple[str, str], list[Document]] = defaultdict(list)
    tasks = task_names([key.task for key in groups])
    known = {settings_of(document) for document in scored if document.get("benchmark")}
    labelled = [(key, _labelled(key, group, groups, len(known) > 1)) for key, group in groups.items()]
    shared = Counter((key.task, label) for key, of_key in labelled for label in of_key)
    for key, of_key in labelled:
        for label, of_label in of_key.items():
            # One name for runs with other settings or of another length, as of a suite that was changed
            further = _told_apart(key, groups) if shared[key.task, label] > 1 else []
            cells[tasks[key.task], ", ".join([label, *further])] += of_label
    names = dict.fromkeys(name for document in scored if (name := suite_label(document, len(known) > 1)))
    ranks = {name: rank for rank, name in enumerate(names)}
    ordered = sorted(cells, key=lambda cell: (ranks.get(cell[1], len(ranks)), cell[1], cell[0]))
    ages = {id(document): age for age, document in enumerate(documents)}
    runs = {cell: newest_of_each_seed(sorted(cells[cell], key=lambda run: ages[id(run)])) for cell in ordered}
    kept = sum(len(of_cell) for of_cell in runs.values())
    return Results(runs, len(scored) - kept, len(documents) - len(scored))


def _labelled(
    key: Group, group: Sequence[Document], groups: Mapping[Group, object], with_settings: bool
) -> dict[str, list[Document]]:
    """The runs of an experiment by what to call it: as its suite does, else by what tells it from others."""
    labels: dict[str, list[Document]] = defaultdict(list)
    for document in group:
        labels[suite_label(document, with_settings) or own_label(key, groups)].append(document)
    return labels


def suite_label(document: Document, with_settings: bool) -> str | None:
    """Method, and settings where they tell runs apart, as the suite that a run is of calls them."""
    record, settings = document.get("benchmark"), settings_of(document)
    if not record:
        return None
    return f"{record['method']}, {settings}" if with_settings and settings else str(record["method"])


def settings_of(document: Document) -> str:
    """What the suite that a run is of calls its settings, nothing where it has no name for them."""
    return str((document.get("benchmark") or {}).get("settings") or "")


def of_settings(documents: Sequence[Document], name: str) -> list[Document]:
    """The results of one of the settings of a suite.

    Raises:
        UserError: if there are none.
    """
    found = [document for document in documents if settings_of(document) == name]
    if not found:
        known = sorted({settings_of(document) or "-" for document in documents})
        raise UserError(f"no run has the settings {name}, expected one of {', '.join(known)}")
    return found


def own_label(key: Group, groups: Mapping[Group, object]) -> str:
    """A module's name, with the settings and the length that other runs of it on the same data do not share."""
    return ", ".join([key.module.removesuffix("Module") or "SPAR", *_told_apart(key, groups)])


def _told_apart(key: Group, groups: Mapping[Group, object]) -> list[str]:
    """What tells an experiment from others of its task and module: settings, and the length."""
    lengths = {group.updates for group in _beside(key, groups)}
    return [*differences(key, groups), *([f"{key.updates:,} updates"] if len(lengths) > 1 else [])]


def task_names(tasks: Iterable[Task]) -> dict[Task, str]:
    """A short name of each: as the suite calls it, without a path or environment as far as that tells them apart.

    >>> paths = "/a/x/logs.npz", "/b/x/logs.npz", "/b/mine.npz", "/b/mine.csv"
    >>> [*task_names([Task(path, path, "Hopper-v5") for path in paths]).values()]
    ['a/x/logs', 'b/x/logs', 'mine.npz', 'mine.csv']
    >>> [*task_names([Task("mine.npz", "mine.npz", f"Hopper-v{version}") for version in (4, 5)]).values()]
    ['mine, Hopper-v4', 'mine, Hopper-v5']
    """
    names = {task: short_name(task.called) for task in tasks}
    for further in (_with_folders, _with_suffix, _with_environment):
        alike = {task: [other for other in names if names[other] == names[task] and other != task] for task in names}
        names |= {task: further(task, names[task], others) for task, others in alike.items() if others}
    return names


def _with_suffix(task: Task, name: str, others: Sequence[Task]) -> str:
    """The name of a file with its suffix, where that tells it from others."""
    suffix = PurePath(task.dataset).suffix
    return name if any(PurePath(other.dataset).suffix == suffix for other in others) else name + suffix


def _with_environment(task: Task, name: str, others: Sequence[Task]) -> str:  # noqa: ARG001
    """The name, and where it is evaluated."""
    return f"{name}, {task.environment}"


def _with_folders(task: Task, name: str, others: Sequence[Task]) -> str:
    return _unlike(task.dataset, name, [other.dataset for other in others])


def _unlike(data_set: str, name: str, others: Sequence[str]) -> str:
    """A name with as many folders before it as tell it from others of the same name."""
    folders = PurePath(data_set).parts[:-1]
    beside = [PurePath(other).parts[:-1] for other in others]
    for count in range(len(folders) + 1):
        if all(folders[len(folders) - count :] != other[len(other) - count :] for other in beside) or not beside:
            return "/".join([*folders[len(folders) - count :], name])
    return name
