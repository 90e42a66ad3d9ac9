# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the scripts take their connection from."""
import argparse
import os

import pytest

from scripts.src import connection
from scripts.src.connection import (
    add_connection_options, complete_connection, read_password)
from scripts.src.failures import Unusable

FILE = """
[gnuhealth]
url = http://file.example
database = of_file
user = file_user
password_file = /file/password
"""


@pytest.fixture(autouse=True)
def no_other_source(monkeypatch, tmp_path):
    for name in ['URL', 'DATABASE', 'USER', 'PASSWORD', 'PASSWORD_FILE']:
        monkeypatch.delenv(f'TRYTON_{name}', raising=False)
    monkeypatch.delenv('GNUHEALTH_CONNECTION', raising=False)
    monkeypatch.setattr(connection, 'CONNECTION_FILE', tmp_path / 'none')


@pytest.fixture
def file(tmp_path):
    path = tmp_path / 'connection.conf'
    path.write_text(FILE)
    return path


def parse(*arguments: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_connection_options(parser)
    options = parser.parse_args(list(map(str, arguments)))
    complete_connection(options, parser)
    return options


def test_defaults():
    options = parse('-d', 'health')
    assert options.url == 'http://127.0.0.1:8000'
    assert (options.database, options.user) == ('health', 'admin')
    assert options.password is options.password_file is None


def test_host_and_port_are_a_url():
    assert parse('-d', 'health', '-H', 'his').url == 'http://his:8000'
    assert parse('-d', 'health', '-p', 80).url == 'http://localhost:80'


def test_each_value_is_of_the_first_source_that_has_it(monkeypatch, file):
    monkeypatch.setenv('TRYTON_DATABASE', 'of_environment')
    monkeypatch.setenv('TRYTON_USER', 'environment_user')
    options = parse('-c', file, '-u', 'me')
    assert options.user == 'me'
    assert options.database == 'of_environment'
    assert options.url == 'http://file.example'
    assert options.password_file == '/file/password'


def test_files_by_name_and_by_default(monkeypatch, file, tmp_path):
    monkeypatch.setattr(connection, 'CONNECTION_FILE', file)
    assert parse().database == 'of_file'
    other = tmp_path / 'other.conf'
    other.write_text(FILE.replace('of_file', 'of_other'))
    monkeypatch.setenv('GNUHEALTH_CONNECTION', str(other))
    assert parse().database == 'of_other'
    assert parse('-c', file).database == 'of_file'


def test_a_password_is_not_mixed_with_the_file_of_another_source(
        monkeypatch, file):
    monkeypatch.setenv('TRYTON_PASSWORD', 'secret')
    options = parse('-c', file)
    assert options.password == 'secret' and options.password_file is None


def test_the_password_is_not_handed_on(monkeypatch):
    monkeypatch.setenv('TRYTON_PASSWORD', 'secret')
    assert parse('-d', 'health').password == 'secret'
    assert 'TRYTON_PASSWORD' not in os.environ


@pytest.mark.parametrize('content', [
        'password = secret', '[other]\npassword = secret', '\xff[gnuhealth'])
def test_an_unusable_file_does_not_show_the_password(
        file, capsys, content):
    file.write_bytes(content.encode('latin-1'))
    with pytest.raises(SystemExit) as ended:
        parse('-c', file)
    assert ended.value.code == 2
    text = capsys.readouterr().err
    assert 'no usable section' in text and 'secret' not in text


@pytest.mark.parametrize(('arguments', 'words'), [
        ([], 'give the database'),
        (['-d', 'x', '-c', '/nowhere'], 'there is no file /nowhere'),
        (['-d', 'x', '-c', '/'], '/: '),
        (['-d', 'x', '-H', 'his', '--url', 'http://his'], 'either a URL'),
        ])
def test_what_is_wrong_is_named(capsys, arguments, words):
    with pytest.raises(SystemExit) as ended:
        parse(*arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_the_first_line_of_a_file_is_the_password(tmp_path):
    path = tmp_path / 'password'
    path.write_bytes('pässword \r\nmore\n'.encode())
    options = parse('-d', 'health', '--password-file', path)
    assert read_password(options) == 'pässword '
    path.write_bytes(b'\xff\n')
    with pytest.raises(Unusable, match='it is not text'):
        read_password(options)
    path.unlink()
    with pytest.raises(Unusable, match='No such file') as failure:
        read_password(options)
    assert failure.value.code == 2
