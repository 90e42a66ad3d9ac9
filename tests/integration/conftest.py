# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""GNU Health and Orthanc together, emptied between tests."""
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from devtools.tryton import MODULE

from . import inside
from .agent import Agent
from .hospital import Hospital


@pytest.fixture(scope='session')
def _agents(prepared_tryton) -> Iterator[Callable[[str], Agent]]:
    agents: dict[str, Agent] = {}
    with ExitStack() as stack:
        def agent(backend: str) -> Agent:
            if backend not in agents:
                tryton = prepared_tryton(backend, MODULE).copy('shared')
                agents[backend] = stack.enter_context(Agent(tryton))
            return agents[backend]
        yield agent


@pytest.fixture
def make_hospital(_agents) -> Callable[[str], Hospital]:
    """A function that returns GNU Health without any server."""
    def make(backend: str) -> Hospital:
        agent = _agents(backend)
        agent.call(inside.empty)
        return Hospital(agent)
    return make


@pytest.fixture
def hospital(make_hospital, request) -> Hospital:
    """GNU Health without any server, on SQLite unless told otherwise."""
    return make_hospital(getattr(request, 'param', 'sqlite'))
