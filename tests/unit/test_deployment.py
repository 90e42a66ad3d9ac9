# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of `deploy/` can be read, and fit each other and the programs."""
import ast
import configparser
import json
import re
import runpy
import signal
import sys
import threading
from pathlib import Path

import pytest

from trytond.modules.health_orthanc.core.dicomweb import headers
from trytond.modules.health_orthanc.viewing import dicomweb_routes

from devtools.deployment.files import DEPLOY, UnknownValue, install, substitute
from devtools.deployment.supervisor import Service, Supervisor
from devtools.deployment.units import Unit, read_environment
from devtools.process import Process, wait_until
from devtools.tryton import ROOT

ETC = DEPLOY / 'etc'
UNITS = ETC / 'systemd' / 'system'
TIMEOUT = 30


def _services() -> list[Path]:
    return sorted(UNITS.rglob('*.service')) + sorted(UNITS.rglob('*.conf'))


def _ini(name: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    parser.read_string((ETC / 'gnuhealth' / name).read_text())
    return parser


def _json(path: Path) -> dict:
    lines = path.read_text().splitlines()
    return json.loads('\n'.join(
            line for line in lines if not line.strip().startswith('//')))


def _nginx() -> str:
    return (ETC / 'nginx/sites-available/gnuhealth.conf').read_text()


def _all_texts() -> dict[str, str]:
    return {
        str(path.relative_to(ETC)): path.read_text()
        for path in ETC.rglob('*') if path.is_file()}


@pytest.mark.parametrize(
    'path', _services(), ids=lambda path: str(path.relative_to(UNITS)))
def test_each_service_is_started_again(path):
    text = path.read_text()
    assert 'Restart=always' in text
    # Without it systemd gives up after five times
    assert 'StartLimitIntervalSec=0' in text


def test_files_that_are_named_exist():
    named = {
        name for text in _all_texts().values()
        for name in re.findall(r'/etc/gnuhealth/[\w./]*\w', text)}
    # Those with secrets are made by hand
    made = {
        '/etc/gnuhealth/worklist.password', '/etc/gnuhealth/orthanc.key'}
    assert made < named
    for name in named - made:
        assert (ETC / name.removeprefix('/etc/')).exists(), name


def test_programs_that_are_named_exist():
    project = (ROOT / 'pyproject.toml').read_text()
    for path in UNITS.glob('*.service'):
        program, = re.findall(
            r'ExecStart=/opt/gnuhealth/venv/bin/(\S+)', path.read_text())
        assert program in {
            'gunicorn', 'trytond-worker', 'trytond-cron'} or (
            f'{program} = "health_orthanc_scripts.' in project)


def test_shared_files_that_are_named_are_installed():
    share = '/opt/gnuhealth/venv/share/health_orthanc/'
    found = [
        name for text in _all_texts().values()
        for name in re.findall(share + r'([\w./]*\w)', text)]
    assert len(found) == 2
    project = (ROOT / 'pyproject.toml').read_text()
    for name in found:
        assert (ROOT / name).exists()
        assert f'"{name}"' in project


def test_log_is_that_of_logrotate():
    log, = re.findall(r"'(/var/log/gnuhealth/\S+)'",
        (ETC / 'gnuhealth/logging.conf').read_text())
    assert '/var/log/gnuhealth/*.log {' in (
        ETC / 'logrotate.d/gnuhealth').read_text()
    assert log.endswith('.log')


def test_processes_that_write_the_log_do_not_rotate_it():
    parser = _ini('logging.conf')
    assert parser['handler_file']['class'] == (
        'logging.handlers.WatchedFileHandler')
    for name in ['root', 'health_orthanc', 'dispatcher', 'gunicorn']:
        assert f'logger_{name}' in parser


def test_one_address_of_trytond():
    settings = runpy.run_path(str(ETC / 'gnuhealth/gunicorn.conf.py'))
    assert f"server {settings['bind']};" in _nginx()
    assert settings['worker_class'] == 'gthread'
    # Uploads and downloads of many people at once
    assert settings['threads'] >= 8


def test_limits_are_the_same():
    parser = _ini('trytond.conf')
    units = {'m': 2**20, 'g': 2**30}
    limits = [
        int(number) * units[unit] for number, unit in
        re.findall(r'client_max_body_size (\d+)([mg]);', _nginx())]
    assert limits == [
        parser.getint('request', 'max_size_authenticated'),
        parser.getint('health_orthanc', 'upload_max_size')]


def test_headers_that_addresses_are_made_of():
    assert _ini('trytond.conf').getint('web', 'num_proxies') == 1
    for header in [
            'Host $http_host', 'X-Forwarded-Host $http_host',
            'X-Forwarded-Proto $scheme',
            'X-Forwarded-For $proxy_add_x_forwarded_for',
            'X-Forwarded-Port ""', 'X-Forwarded-Prefix ""',
            'X-Images-By-Nginx $images_by_nginx', 'Connection ""']:
        assert f'proxy_set_header {header};' in _nginx()
    # A header in a location would replace all of those
    assert _nginx().count('proxy_set_header') == 8


def test_images_that_nginx_sends():
    folder = ETC / 'nginx/gnuhealth'
    locations = (folder / 'orthanc.conf').read_text()
    (url, location), = re.findall(
        r'^    (http\S+) (\S+)$', _ini('trytond.conf').get(
            'health_orthanc', 'nginx_locations').replace('\n', '\n    '), re.M)
    assert f'location ^~ {location}/ {{' in locations
    upstream, = re.findall(r'proxy_pass http://(\w+)/dicom-web/;', locations)
    assert re.search(
        rf'upstream {upstream} {{\s+server {url.removeprefix("http://")};',
        _nginx())
    # Each of them is for nginx alone
    assert locations.count('internal;') == locations.count('location ^~')
    assert _nginx().count('internal;') == _nginx().count('location = ')
    # gunicorn does not close what nginx still uses
    kept = re.search(
        r'upstream trytond_viewers.*?keepalive_timeout (\d+)s', _nginx(), re.S)
    settings = runpy.run_path(str(ETC / 'gnuhealth/gunicorn.conf.py'))
    assert int(kept[1]) < settings['keepalive']


def test_frames_that_nginx_matches():
    "What it decodes and matches becomes part of requests"
    pattern, = re.findall(
        r'location ~ "(\^\(\?<images_root>.*?)" {', _nginx())
    frames = re.compile(pattern.replace('(?<', '(?P<'))
    path = (
        '/health/orthanc/dicomweb/1/dicom-web/studies/1.2/series/1.3'
        '/instances/1.4/frames/12')
    found = frames.search(path)
    assert found.groups() == (
        '/health/orthanc/dicomweb/1/dicom-web', 'studies/1.2',
        'series/1.3/instances/1.4/frames/12')
    for text, other in [
            ('health', 'a b'), ('health', 'a\r\nX: y'), ('health', 'a/b'),
            ('health', 'a?b'), ('/1/', '/x/'), ('1.2', '..'), ('1.2', '.'),
            ('1.2', '1.2/..'), ('1.2', '1.2,1.3'), ('1.2', '1\r\n'),
            ('1.2', '1' * 65), ('1.3', ''), ('1.4', '1.4;x'), ('12', '0'),
            ('12', '1,2'), ('12', '1/rendered'), ('12', '1/..'),
            ('studies', 'instances'), ('/health', '')]:
        assert not frames.search(path.replace(text, other)), other
    # The end of a line is none of what is captured
    assert all('\n' not in g for g in frames.search(path + '\n').groups())


def test_headers_of_images():
    "What nginx sends with images is what the module sends"
    images = (ETC / 'nginx/gnuhealth/images.conf').read_text()
    sent = dict(re.findall(r'^add_header (\S+) "?(.*?)"?;$', images, re.M))
    assert sent.pop('Content-Type') == '$images_type'
    assert sent.pop('Strict-Transport-Security') in _nginx()
    assert sent == dicomweb_routes._HEADERS
    types, = re.findall(r'"~\*\^\((.*)\) \*\(;\|\$\)"', _nginx())
    assert types == headers._TYPES.pattern.removesuffix(
        '( *;.*)?').removeprefix('(').removesuffix(')')


def test_locations_are_routes():
    sources = ''.join(
        path.read_text() for path in (ROOT / 'health_orthanc').rglob('*.py'))
    routes = re.findall(
        r'location ~ \^/\[\^/\]\+/orthanc/(\w+)', _nginx())
    assert sorted(routes) == ['dicomweb', 'download', 'upload', 'worklist']
    for route in routes:
        assert re.search(f"/<database_name>/orthanc/{route}['/]", sources)


def test_one_database():
    name = read_environment(ETC / 'gnuhealth/trytond.env')[
        'TRYTOND_DATABASE_NAMES']
    assert _ini('connection.conf')['gnuhealth']['database'] == name
    plugin = _json(ETC / 'gnuhealth/orthanc/health_orthanc.json')
    assert plugin['HealthOrthanc']['Database'] == name


def test_no_option_of_orthanc_is_set_twice():
    options = [
        option for path in (ETC / 'gnuhealth/orthanc').glob('*.json')
        for option in _json(path)]
    assert len(options) == len(set(options)) > 10


def test_one_way_of_worklists():
    live = _json(ETC / 'gnuhealth/orthanc/worklists.json')['Worklists']
    assert live == {'Enable': False}
    rest = _json(DEPLOY / 'worklists-rest/worklists.json')['Worklists']
    # With both, Orthanc does not start
    assert rest['SaveInOrthancDatabase'] and 'Database' not in rest


def test_what_the_authorization_plugin_gets():
    """What the wizard of the module shows."""
    section = _json(DEPLOY / 'authorization/authorization.json')[
        'Authorization']
    name = read_environment(ETC / 'gnuhealth/trytond.env')[
        'TRYTOND_DATABASE_NAMES']
    assert section['WebServiceRootUrl'].endswith(
        f'/{name}/orthanc/authorization')
    source = ast.parse((
            ROOT / 'health_orthanc/wizard/connect_authorization.py'
            ).read_text())
    keys = next(
        [ast.literal_eval(key) for key in node.keys]
        for node in ast.walk(source) if isinstance(node, ast.Dict)
        and len(node.keys) > 1)
    assert list(section) == keys
    # Only the module may do more than tokens allow
    assert [p for p in section['Permissions'] if p[2] != 'all'] == [
        ['post', '^/auth/tokens/decode$', '']]
    options = {
        option for path in (ETC / 'gnuhealth/orthanc').glob('*.json')
        for option in _json(path)}
    assert 'Authorization' not in options


def test_a_worker_for_all_queues():
    """One by name alone would leave tasks of other modules waiting."""
    plain = (UNITS / 'gnuhealth-worker.service').read_text()
    assert '--name' not in plain
    assert '--name %i' in (UNITS / 'gnuhealth-worker@.service').read_text()


# What the check does with them


def test_units_are_read(tmp_path):
    (tmp_path / 'env').write_text('# A comment\nA=1\nB=two words\n')
    first, second = tmp_path / 'a.service', tmp_path / 'a.conf'
    first.write_text(
        '# A comment\n[Unit]\nRestart=no\n[Service]\nRestart=always\n'
        f'EnvironmentFile={tmp_path}/env\nEnvironment=C=3 "D=4 5"\n'
        'ExecStart=/bin/one --name %i "a b"\n')
    unit = Unit.read('a', first, instance='x')
    assert unit.command == ['/bin/one', '--name', 'x', 'a b']
    assert unit.environment == {
        'A': '1', 'B': 'two words', 'C': '3', 'D': '4 5'}
    assert unit.restarts
    second.write_text('[Service]\nExecStart=\nExecStart=/bin/two\n'
        'Restart=no\nRestartSec=7\n')
    unit = Unit.read('a', first, second)
    assert unit.command == ['/bin/two']
    assert (unit.restarts, unit.pause) == (False, 7)


def test_a_line_that_is_none_is_refused(tmp_path):
    path = tmp_path / 'a.service'
    path.write_text('[Service]\nRestart\n')
    with pytest.raises(ValueError, match='Restart'):
        Unit.read('a', path)


def test_values_are_replaced_once():
    assert substitute('/a/b /a x', {
            '/a': '/a/b', '/a/b': '/c', 'x': '/a'}) == '/c /a/b /a'


def test_a_value_that_no_file_has_is_found(tmp_path):
    with pytest.raises(UnknownValue, match='/nowhere'):
        install(tmp_path, {'/nowhere': '/here'})
    with pytest.raises(UnknownValue, match='PASS'):
        install(tmp_path, {}, {'gnuhealth/trytond.env': {'PASS': 'x'}})


def test_a_service_that_is_killed_is_started_again(tmp_path):
    unit = Unit('sleep', ['sleep', '600'], restarts=True, pause=0)
    with Supervisor() as supervisor:
        service = Service(
            unit, lambda: Process(unit.command, tmp_path / 'log'))
        supervisor.add('sleep', service)
        first = service.process
        service.kill()
        assert first.returncode == -signal.SIGKILL
        second = service.process
        assert second.running and second.pid != first.pid
        assert service.starts == 2
    assert not second.running


def test_what_a_killed_service_leaves_is_ended(tmp_path):
    script = (
        'import subprocess, time\n'
        'child = subprocess.Popen(["sleep", "600"])\n'
        'print(child.pid, flush=True)\n'
        'time.sleep(600)\n')
    log = tmp_path / 'log'
    unit = Unit('a', [sys.executable, '-c', script], restarts=True, pause=0)
    with Supervisor() as supervisor:
        service = Service(
            unit, lambda: Process(unit.command, log),
            lambda: len(log.read_text().split()) >= service.starts)
        supervisor.add('a', service)
        service.kill()
        first, second = map(int, log.read_text().split())
        assert wait_until(lambda: not _runs(first), TIMEOUT)
        assert _runs(second)
    assert wait_until(lambda: not _runs(second), TIMEOUT)


def _runs(pid: int) -> bool:
    try:
        status = Path(f'/proc/{pid}/stat').read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(')')[2].split()[0] != 'Z'


def test_a_service_that_may_end_is_left_alone(tmp_path):
    unit = Unit('true', ['true'])
    looked = threading.Event()

    class Watched(Service):
        def look_after(self):
            super().look_after()
            if not self.process.running:
                looked.set()

    service = Watched(unit, lambda: Process(unit.command, tmp_path / 'log'))
    service._launch()
    with Supervisor() as supervisor:
        supervisor.services['true'] = service
        assert looked.wait(TIMEOUT)
    assert service.starts == 1
