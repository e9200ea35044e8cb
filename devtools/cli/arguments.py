"""Argument types of the ./dev commands. Each value is checked before anything starts; an error is one line."""

from __future__ import annotations

import argparse
import math
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

USAGE_ERROR = 2
LAST_PORT = 65535
WHOLE = re.compile(r"[+-]?[0-9]{1,20}")
# Images after the first get a number in their file names.
NAME_MARGIN = len("-10")


class Parser(argparse.ArgumentParser):
    """argparse with one-line errors and without abbreviations: a typo must not pass as an option."""

    def __init__(self, *, prog: str, description: str = "") -> None:
        super().__init__(prog=prog, description=description, allow_abbrev=False)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        given = list(sys.argv[1:] if args is None else args)
        if any(_unprintable(each) for each in given):
            self.error("the arguments are not valid UTF-8")
        return super().parse_known_args(given, namespace)

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        # argparse takes the value of --option=-- for the end of the options and fails.
        if action.option_strings and action.nargs is None and arg_strings == ["--"]:
            return self._get_value(action, "--")  # type: ignore[attr-defined]
        return super()._get_values(action, arg_strings)  # type: ignore[misc]

    def error(self, message: str) -> NoReturn:
        message = message.removeprefix("argument ")
        option, colon, problem = message.partition(": ")
        if colon and problem.startswith("expected one argument"):
            name = option.split("/")[-1]
            message = f'{option} needs a value: {name}=VALUE (a value that starts with "-" needs the "=")'
        elif message.startswith("unrecognized arguments: "):
            message = f"{message.replace('arguments', 'argument', 1)}. See {self.prog} --help"
        elif colon and problem.startswith("ignored explicit argument"):
            message = f"{option} takes no value"
        self.exit(USAGE_ERROR, f"{self.prog}: {' '.join(message.split())}\n")


def _unprintable(argument: str) -> bool:
    """Return whether the argument has bytes that are not UTF-8. Python passes them as surrogates."""
    return any("\ud800" <= character <= "\udfff" for character in argument)


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """Return a type for whole numbers from `least` to `most`."""

    def read(given: str) -> int:
        if not WHOLE.fullmatch(given) or int(given) < least or (most is not None and int(given) > most):
            raise argparse.ArgumentTypeError(f"{_shown(given)} is not a whole number {_range(least, most)}")
        return int(given)

    return read


def number(least: float, most: float | None = None, *, above: bool = False) -> Callable[[str], float]:
    """Return a type for numbers from `least` to `most`; `above` excludes `least` itself."""

    def read(given: str) -> float:
        try:
            value = float(given)
        except ValueError:
            value = math.nan
        fits = value > least if above else value >= least
        if not (math.isfinite(value) and fits and (most is None or value <= most)):
            span = f"above {least:g}" if above and most is None else _range(least, most)
            raise argparse.ArgumentTypeError(f"{_shown(given)} is not a number {span}")
        return value

    return read


def port(given: str) -> int:
    return whole(1, LAST_PORT)(given)


def size(given: str) -> str:
    """Read a size in pixels. The server decides which sizes are allowed."""
    if not re.fullmatch(r"[0-9]{2,4}x[0-9]{2,4}", given):
        raise argparse.ArgumentTypeError(f"{_shown(given)} is not a size in pixels, such as 512x512")
    return given


def text(most: int) -> Callable[[str], str]:
    """Return a type for text of one to `most` characters."""

    def read(given: str) -> str:
        if not given.strip():
            raise argparse.ArgumentTypeError("the value is empty")
        if len(given) > most:
            raise argparse.ArgumentTypeError(f"use at most {most:,} characters (this is {len(given):,})")
        return given

    return read


def one_of(choices: Sequence[str]) -> Callable[[str], str]:
    """Return a type that accepts one of `choices`."""

    def read(given: str) -> str:
        if given not in choices:
            raise argparse.ArgumentTypeError(f"unknown value {_shown(given)}. Choose from: {', '.join(choices)}")
        return given

    return read


def file_to_write(given: str) -> Path:
    """Read the name of a file to write. Its folder must exist."""
    path = _path(given)
    real = _resolved(path)
    if given.endswith(os.sep) or real.is_dir():
        raise argparse.ArgumentTypeError(f"{given} is a folder, not a file")
    _check_length(real)
    if not real.parent.is_dir():
        raise argparse.ArgumentTypeError(f"the folder {real.parent} doesn't exist")
    if real.exists():
        if not os.access(real, os.W_OK):
            raise argparse.ArgumentTypeError(f"{given} can't be overwritten")
    elif not os.access(real.parent, os.W_OK | os.X_OK):
        raise argparse.ArgumentTypeError(f"the folder {real.parent} isn't writable")
    return path


def image_to_write(given: str) -> Path:
    """Read the name of an image file to write. Its extension must name a format that can store the images."""
    path = file_to_write(given)
    if not _saves_images(path.suffix.lower()):
        problem = f"images can't be saved as {path.suffix}" if path.suffix else "the file name has no extension"
        raise argparse.ArgumentTypeError(f"{given}: {problem}. Use .png, .jpg or .webp")
    return path


def folder_to_write(given: str) -> Path:
    """Read the name of a folder to write to. It may not exist yet."""
    path = _path(given)
    real = _resolved(path)
    _check_length(real)
    existing = next(each for each in (real, *real.parents) if each.exists())
    if not existing.is_dir():
        raise argparse.ArgumentTypeError(f"{existing} is not a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise argparse.ArgumentTypeError(f"the folder {existing} isn't writable")
    return path


def file_to_read(given: str) -> Path:
    """Read the name of a file that exists."""
    path = _path(given)
    real = _resolved(path)
    if real.is_dir():
        raise argparse.ArgumentTypeError(f"{given} is a folder, not a file")
    if not real.exists():
        raise argparse.ArgumentTypeError(f"the file {given} doesn't exist")
    if not os.access(real, os.R_OK):
        raise argparse.ArgumentTypeError(f"{given} can't be read")
    return path


def folder_to_read(given: str) -> Path:
    """Read the name of a folder that exists."""
    path = _path(given)
    real = _resolved(path)
    if not real.exists():
        raise argparse.ArgumentTypeError(f"the folder {given} doesn't exist")
    if not real.is_dir():
        raise argparse.ArgumentTypeError(f"{given} is not a folder")
    return path


def checkout(given: str) -> Path:
    """Read the folder of another checkout of this project."""
    path = _resolved(_path(given))
    if not (path / "manage.py").is_file():
        raise argparse.ArgumentTypeError(f"{given} is not a checkout of Sparkle (no manage.py)")
    return path


def _path(given: str) -> Path:
    if not given:
        raise argparse.ArgumentTypeError("the name is empty")
    if any(ord(character) < 32 or ord(character) == 127 for character in given):
        raise argparse.ArgumentTypeError(f"{_shown(given)} has control characters")
    return Path(given)


def _resolved(path: Path) -> Path:
    try:
        real = path.resolve()
        real.exists()
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "symbolic links form a loop"
        raise argparse.ArgumentTypeError(f"{_shown(str(path))}: {reason}") from None
    return real


def _check_length(path: Path) -> None:
    folder = next(each for each in path.parents if each.is_dir())
    longest = os.pathconf(folder, "PC_NAME_MAX") - NAME_MARGIN
    if any(len(os.fsencode(part)) > longest for part in path.parts):
        raise argparse.ArgumentTypeError(f"the name is too long (at most {longest} bytes)")


def _saves_images(ending: str) -> bool:
    """Return whether an image saved with this extension is the same size when read again."""
    import io

    from PIL import Image

    extension = Image.registered_extensions().get(ending)
    if extension not in Image.SAVE:
        return False
    size = (600, 600)
    file = io.BytesIO()
    try:
        Image.new("RGB", size).save(file, format=extension)
        with Image.open(file) as again:
            return again.size == size
    # Each format raises its own kind of error; Pillow wraps none of them.
    except Exception:
        return False


def _range(least: float, most: float | None) -> str:
    return f"of at least {least:g}" if most is None else f"from {_plain(least)} to {_plain(most)}"


def _plain(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


def _shown(given: str) -> str:
    shown = ascii(given) if any(not character.isprintable() for character in given) else f'"{given}"'
    return shown if len(shown) <= 60 else f'{shown[:57]}..."'


def option_limits(command: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return a Discord command's options by name, with the limits that Discord checks."""
    return {option["name"]: option for option in command["options"]}
