# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of `deploy/`, with other paths, ports and names."""
from collections.abc import Mapping
from pathlib import Path

from ..tryton import ROOT

__all__ = ['DEPLOY', 'UnknownValue', 'install', 'substitute']

DEPLOY = ROOT / 'deploy'


class UnknownValue(ValueError):
    """None of the files holds what is to be replaced."""


def install(
        target: Path, values: Mapping[str, str],
        only: Mapping[str, Mapping[str, str]] | None = None) -> None:
    """Copy the files of `deploy/etc` to a folder.

    Parameters
    ----------
    values
        What is replaced in all of them, and by what.
    only
        The same for single files, by their path below `deploy/etc`.

    Raises
    ------
    UnknownValue
    """
    unused = set(values)
    for source in sorted((DEPLOY / 'etc').rglob('*')):
        if not source.is_file():
            continue
        name = source.relative_to(DEPLOY / 'etc')
        text = source.read_text()
        unused -= {value for value in values if value in text}
        own = (only or {}).get(str(name), {})
        for value in own:
            if value not in text:
                raise UnknownValue(f"{name}: {value}")
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(substitute(text, {**values, **own}))
    if unused:
        raise UnknownValue(", ".join(sorted(unused)))


def substitute(text: str, values: Mapping[str, str]) -> str:
    """Replace values, the longest ones first, each once."""
    parts = [text]
    for value in sorted(values, key=len, reverse=True):
        # What was put in is not looked at again: every second part
        parts = [
            piece for index, part in enumerate(parts)
            for piece in (
                [part] if index % 2 else _split(part, value, values[value]))]
    return ''.join(parts)


def _split(part: str, value: str, new: str) -> list[str]:
    pieces = []
    for piece in part.split(value):
        pieces += [piece, new]
    return pieces[:-1]
