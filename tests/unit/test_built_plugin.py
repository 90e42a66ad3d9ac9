# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file that Orthanc loads, with a stub in the place of Orthanc."""
import ast
import importlib.util
import json
import logging
import re
import sys
import types

import pytest

from devtools.process import wait_until
from devtools.tryton import ROOT
from tests.integration.fake_plugin_routes import FakePluginRoutes, entry_file

from .plugin_host import SECRET, Answers, Query, decode

SOURCE = ROOT / 'orthanc_plugin' / 'health_orthanc.py'


class Stub(types.ModuleType):
    """What of Orthanc's module the plugin calls.

    Attributes
    ----------
    log
        Level and text of the lines that were logged.
    asked
        What was requested of the REST API.
    """

    def __init__(self, configuration: dict):
        super().__init__('orthanc')
        self.configuration = configuration
        self.log: list[tuple[str, str]] = []
        self.asked: list[tuple[str, ...]] = []
        self.callbacks: dict[str, object] = {}
        self.DicomToJsonFormat = types.SimpleNamespace(SHORT=3)
        self.DicomToJsonFlags = types.SimpleNamespace(NONE=0)
        self.ChangeType = types.SimpleNamespace(
            ORTHANC_STARTED=10, ORTHANC_STOPPED=11, DELETED=1,
            STABLE_STUDY=9)
        self.ResourceType = types.SimpleNamespace(STUDY=1, SERIES=2)
        for level in ['Error', 'Warning', 'Info']:
            setattr(self, f'Log{level}', lambda text, level=level:
                self.log.append((level, text)))

    def GetConfiguration(self) -> str:
        return json.dumps(self.configuration)

    def GetConfigurationPath(self) -> str:
        return '/etc/orthanc/'

    def RegisterWorklistCallback(self, callback: object) -> None:
        self.callbacks['worklist'] = callback

    def RegisterOnChangeCallback(self, callback: object) -> None:
        self.callbacks['change'] = callback

    def DicomBufferToJson(
            self, buffer: bytes, format_: int, flags: int, length: int
            ) -> str:
        assert (format_, flags, length) == (3, 0, 0)
        return decode(buffer)

    def RestApiGet(self, path: str) -> bytes:
        self.asked.append(('GET', path))
        return b'{}'

    def RestApiPost(self, path: str, body: str) -> bytes:
        self.asked.append(('POST', path, body))
        return b'{}'


@pytest.fixture
def load(monkeypatch):
    """A function that returns the plugin in an Orthanc so configured."""
    log = logging.getLogger('HealthOrthanc')
    monkeypatch.setattr(log, 'handlers', log.handlers)
    monkeypatch.setattr(log, 'level', log.level)
    stubs = []

    def load(configuration: dict) -> types.ModuleType:
        stub = Stub(configuration)
        stubs.append(stub)
        monkeypatch.setitem(sys.modules, 'orthanc', stub)
        spec = importlib.util.spec_from_file_location(
            'plugin_of_test', SOURCE)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, 'plugin_of_test', module)
        spec.loader.exec_module(module)
        return module
    yield load
    for stub in stubs:
        for _, line in stub.log:
            assert line.startswith('HealthOrthanc: ')
            assert not re.search(f'{SECRET}|Doe|Jane|GNU777', line)


@pytest.fixture
def his():
    with FakePluginRoutes(key=SECRET) as his:
        yield his


@pytest.fixture
def configuration(his, tmp_path):
    return {
        'DefaultEncoding': 'Utf8', 'IndexDirectory': str(tmp_path),
        'HealthOrthanc': {
            'Url': his.url, 'Database': his.database, 'Key': SECRET,
            'Server': 'main', 'RefreshInterval': 0.1, 'Timeout': 2}}


def test_an_error_of_the_configuration_fails_queries(load):
    plugin = load({})
    assert plugin.orthanc.log == [
        ('Error',
            'HealthOrthanc: the section "HealthOrthanc" is missing'),
        ('Error', 'HealthOrthanc: no worklist is served and no '
            'notifications are sent until the configuration is corrected')]
    callback = plugin.orthanc.callbacks['worklist']
    with pytest.raises(plugin.Unavailable, match='configuration'):
        callback(None, None, 'CT1', 'ORTHANC')
    change = plugin.orthanc.callbacks['change']
    for kind in vars(plugin.orthanc.ChangeType).values():
        change(kind, plugin.orthanc.ResourceType.STUDY, 'a')
    assert len(plugin.orthanc.log) == 2


def test_a_warning_is_logged_as_such(load, configuration):
    configuration['HealthOrthanc']['Databse'] = 'x'
    line, = load(configuration).orthanc.log
    assert line == ('Warning',
        'HealthOrthanc: "Databse" is unknown; did you mean "Database"?')


@pytest.mark.parametrize('newer', [False, True])
def test_the_caller_is_taken_from_what_orthanc_offers(
        load, configuration, monkeypatch, newer):
    monkeypatch.setattr(
        Stub, 'RegisterWorklistCallback2', lambda self, callback:
            self.callbacks.update(connection=callback), raising=False)
    monkeypatch.setattr(
        Stub, 'CheckVersionAdvanced', lambda self, *version:
            newer and version == (1, 12, 10), raising=False)
    plugin = load(configuration)
    assert ('connection' in plugin.orthanc.callbacks) == newer
    assert ('worklist' in plugin.orthanc.callbacks) != newer
    if newer:
        received = []
        monkeypatch.setattr(
            plugin.Plugin, 'on_worklist',
            lambda self, *arguments: received.append(arguments))
        plugin.orthanc.callbacks['connection'](
            'answers', 'query', types.SimpleNamespace(
                GetConnectionRemoteAet=lambda: 'CT1',
                GetConnectionCalledAet=lambda: 'ORTHANC',
                GetConnectionRemoteIp=lambda: '10.0.0.5'))
        assert received == [
            ('answers', 'query', 'CT1', 'ORTHANC', '10.0.0.5')]


def test_queries_are_answered(load, configuration, his):
    file = entry_file()
    his.put(1, file)
    configuration['HealthOrthanc']['Notify'] = False
    orthanc = load(configuration).orthanc
    change = orthanc.callbacks['change']
    change(orthanc.ChangeType.ORTHANC_STARTED, 0, '')
    connected = ('Warning', 'HealthOrthanc: connected to GNU Health; '
        '1 worklist item is served')
    assert wait_until(lambda: connected in orthanc.log, 20)
    change(orthanc.ChangeType.ORTHANC_STOPPED, 0, '')
    answers = Answers()
    orthanc.callbacks['worklist'](answers, Query(file), 'CT1', 'ORTHANC')
    assert answers == [file] and not answers.incomplete


def test_keys_that_are_ignored_are_logged_for_information(
        load, configuration):
    plugin = load(configuration)
    plugin._log_ignored('0009,1001')
    assert plugin.orthanc.log == [('Info',
            'HealthOrthanc: query key 0009,1001 is not supported and is '
            'ignored')]


def test_changes_are_taken_note_of(load, configuration):
    plugin = load(configuration)
    orthanc = plugin.orthanc
    listener = orthanc.callbacks['change']
    change, level = orthanc.ChangeType, orthanc.ResourceType
    listener(change.DELETED, level.STUDY, 'a')
    listener(change.DELETED, level.SERIES, 'b')
    listener(change.STABLE_STUDY, level.STUDY, 'c')
    notifier = listener.__self__._plugin._notifier
    assert notifier._wake.is_set()
    assert notifier._follower._stable == {'c'}
    assert [event.study for event in notifier._queue.due(20)] == ['a']

    def fail(study):
        raise KeyError('Doe^Jane')
    notifier._follower.add_stable = fail
    listener(change.STABLE_STUDY, level.STUDY, 'c')
    level, line = orthanc.log[-1]
    assert level == 'Error'
    assert re.fullmatch(
        r'HealthOrthanc: KeyError in (( > )?\S+\.py:\d+ \w+)+', line)
    notifier._queue.close()


def test_orthanc_is_asked_through_its_rest_api(load, configuration):
    plugin = load(configuration)
    archive = plugin.Archive(plugin.OrthancHost())
    assert archive.tags('i') == archive.series(['s']) == {}
    assert plugin.orthanc.asked == [
        ('GET', '/instances/i/tags?short'),
        ('POST', '/tools/bulk-content',
            '{"Resources": ["s"], "Metadata": false}')]


def test_it_needs_nothing_but_python_and_orthanc():
    tree = ast.parse(SOURCE.read_text(), feature_version=(3, 9))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
    names = {name.partition('.')[0] for name in names}
    assert names - set(sys.stdlib_module_names) == {'orthanc'}
