# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Units of systemd: what they start, with what, and when again."""
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ['Unit', 'read_environment']

RESTARTED = {'always', 'on-failure'}


@dataclass(frozen=True)
class Unit:
    """A service with its drop-ins.

    Attributes
    ----------
    command
        ``ExecStart``, in words.
    environment
        ``Environment`` and the files of ``EnvironmentFile``.
    restarts
        Whether it is started again after it was killed.
    pause
        Seconds until then.
    """
    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    restarts: bool = False
    pause: float = 0.1

    @classmethod
    def read(cls, name: str, *files: Path, instance: str = '') -> 'Unit':
        """Read the file of a unit and those that are dropped in.

        Raises
        ------
        ValueError
            A line is none of a unit, or a service starts nothing.
        """
        values: dict[str, list[str]] = {}
        for file in files:
            for key, value in _read_service(file):
                # An empty value forgets those that came before
                values[key] = [*values.get(key, []), value] if value else []
        commands = values.get('ExecStart', [])
        command = commands[-1].replace('%i', instance) if commands else ''
        environment = {}
        for path in values.get('EnvironmentFile', []):
            environment |= read_environment(Path(path))
        for line in values.get('Environment', []):
            environment |= dict(
                word.split('=', 1) for word in shlex.split(line))
        return cls(
            name, shlex.split(command), environment,
            values.get('Restart', ['no'])[-1] in RESTARTED,
            float(values.get('RestartSec', ['0.1'])[-1]))


def _read_service(file: Path) -> Iterator[tuple[str, str]]:
    section = None
    for line in file.read_text().splitlines():
        line = line.strip()
        if not line or line[0] in '#;':
            continue
        if line.startswith('['):
            section = line.strip('[]')
            continue
        key, equals, value = line.partition('=')
        if not equals or section is None or value.endswith('\\'):
            raise ValueError(f"{file}: {line}")
        if section == 'Service':
            yield key, value.strip()


def read_environment(file: Path) -> dict[str, str]:
    """Return the variables of an ``EnvironmentFile``."""
    return dict(
        line.split('=', 1) for line in file.read_text().splitlines()
        if line and not line.startswith('#'))
