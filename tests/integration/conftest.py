# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""GNU Health and Orthanc together, emptied between tests."""
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from devtools.tryton import MODULE, Server

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


@pytest.fixture(scope='module')
def trytond(prepared_tryton) -> Iterator[Server]:
    """A trytond that serves a fresh database to the tests of a module."""
    tryton = prepared_tryton('sqlite', MODULE).copy('served')
    with tryton.server() as server:
        yield server
    tryton.drop()


@pytest.fixture
def retire_servers(trytond) -> Iterator[None]:
    """Let the servers of a test be no concern of the next one.

    Those that hold studies cannot be deleted.
    """
    yield
    Config = trytond.rpc().model.gnuhealth.orthanc.config
    for id_ in Config.search([], 0, None, None, {}):
        Config.write([id_], {
                'label': f"Retired {id_}",
                'domain': f'http://retired{id_}.example.org',
                'password': None,
                'client_key': None,
                'active': False,
                }, {})
