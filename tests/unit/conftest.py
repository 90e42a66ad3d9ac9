# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of the plugin share."""
import logging
import re
from collections.abc import Iterator

import pytest

from orthanc_plugin.src.log import log

from .plugin_host import SECRET

# What no line of the log may hold
PATIENT_DATA = re.compile(f'{SECRET}|Doe|Jane|GNU777')


class Lines(logging.Handler):
    """Keeps the lines that are logged."""

    def __init__(self, lines: list[str]):
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))


@pytest.fixture
def plugin_log() -> Iterator[list[str]]:
    """The lines that the plugin logs, which hold no patient data."""
    lines: list[str] = []
    handlers, level = log.handlers, log.level
    log.handlers = [Lines(lines)]
    log.setLevel(logging.INFO)
    yield lines
    log.handlers = handlers
    log.setLevel(level)
    for line in lines:
        assert not PATIENT_DATA.search(line)
