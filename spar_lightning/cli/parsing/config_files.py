"""Configurations by path, or by the name of one that comes with the package: `--config walker`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ActionConfigFile  # type: ignore[attr-defined]

from spar_lightning.cli.nearest import did_you_mean
from spar_lightning.each_key_once import EachKeyOnce, RepeatedKeyError
from spar_lightning.types import UserError

FOLDER = Path(__file__).parents[2] / "configs"
SUITES = "suites"
"""Folder below it of what is no configuration of a training."""
_NAME = re.compile(r"[\w./~-]+")
"""What may be a file: not a configuration itself, as in `{model: {kappa: 3}}`, nor a URL."""


def names() -> list[str]:
    """Names of the configurations that come with the package."""
    paths = [path.relative_to(FOLDER).with_suffix("") for path in FOLDER.rglob("*.yaml")]
    trainings = [path for path in paths if path.parts[0] != SUITES]
    return [path.as_posix() for path in sorted(trainings, key=lambda path: (len(path.parts), path))]


def find_config(value: str) -> str:
    """The path that a name stands for; anything else, and a name that is also a file, as it is.

    Args:
        value: of `--config`.
    """
    if _NAME.fullmatch(value) and not Path(value).expanduser().is_file() and value.removesuffix(".yaml") in names():
        return str(FOLDER / f"{value.removesuffix('.yaml')}.yaml")
    return value


class ConfigFile(ActionConfigFile):
    """jsonargparse's `--config`, which takes names as well."""

    def __call__(self, parser: Any, cfg: Any, values: Any, option_string: str | None = None) -> None:
        """Read a configuration.

        Raises:
            UserError: if there is no such file, and no such name.
        """
        path = find_config(values)
        if _NAME.fullmatch(path) and path != "-" and not Path(path).expanduser().exists():
            meant = did_you_mean(values.removeprefix("configs/").removesuffix(".yaml"), names())
            raise UserError(f"there is no file {values}{meant} The package brings {', '.join(names())}")
        if Path(path).expanduser().is_file():
            _check_syntax(Path(path).expanduser())
            parser.read_configs.append(Path(path).expanduser())
        super().__call__(parser, cfg, path, option_string)  # type: ignore[no-untyped-call]


def _check_syntax(path: Path) -> None:
    """Refuse what is no YAML, or has a name twice; what else is wrong with it is said when it is parsed."""
    try:
        yaml.load(path.read_text(encoding="utf-8"), EachKeyOnce)
    except RepeatedKeyError as error:
        raise UserError(f"the configuration {path} is ambiguous: {error}. Leave one of them") from error
    except (yaml.scanner.ScannerError, yaml.parser.ParserError) as error:
        mark = error.problem_mark or error.context_mark
        place = "" if mark is None else f" in line {mark.line + 1}, column {mark.column + 1}"
        raise UserError(f"the configuration {path} is no YAML ({error.problem}{place}): mend or remove it") from error
    except yaml.reader.ReaderError as error:
        raise UserError(f"the configuration {path} is no YAML ({' '.join(str(error).split())}): mend it") from error
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return
