# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: AGPL-3.0-or-later
"""The plugin's section of Orthanc's configuration."""
from __future__ import annotations

import difflib
import math
import os
import re
import ssl
import stat
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import describe_error

SECTION = 'HealthOrthanc'
CACHE_NAME = 'health_orthanc-worklist.json'
QUEUE_NAME = 'health_orthanc-notifications.db'


@dataclass(frozen=True)
class Settings:
    """The configuration of the plugin.

    Attributes
    ----------
    url, database
        URL and database of GNU Health.
    key, key_file
        The application key of the plugin's user, or the file that holds it.
    server
        The identifier of this Orthanc in GNU Health.
    notify
        Whether notifications of studies are sent to GNU Health.
    notification_file
        Where the notifications are stored that GNU Health has not received.
    stable_age
        Orthanc's own option StableAge, in seconds.
    refresh_interval, timeout, maximum_age
        In seconds.
    ca_file
        The authorities that GNU Health's certificate is verified with; those
        of the system if empty.
    filter_calling_aet
        Serve a modality only the steps of its own AE title.
    cache_file
        Where the worklist is stored while Orthanc is stopped; it is not
        stored if empty.
    case_sensitive_names
        Orthanc's own option CaseSensitivePN.
    """
    url: str = ''
    database: str = ''
    key: str = field(default='', repr=False)
    key_file: str = ''
    server: str = ''
    notify: bool = False
    notification_file: str = ''
    stable_age: float = 60
    refresh_interval: float = 2
    timeout: float = 10
    ca_file: str = ''
    filter_calling_aet: bool = False
    maximum_age: float = 24 * 60 * 60
    cache_file: str = ''
    case_sensitive_names: bool = False

    @property
    def source(self) -> str:
        """Identifies the database that a worklist comes from."""
        return f'{self.url}/{self.database}'


TEXT_KEYS = {
    'Url': 'url',
    'Database': 'database',
    'Key': 'key',
    'KeyFile': 'key_file',
    'Server': 'server',
    'CaFile': 'ca_file',
    'CacheFile': 'cache_file',
    'NotificationFile': 'notification_file',
    }
NUMBER_KEYS = {
    'RefreshInterval': 'refresh_interval',
    'Timeout': 'timeout',
    'MaximumAge': 'maximum_age',
    }
FLAG_KEYS = {'FilterCallingAet': 'filter_calling_aet', 'Notify': 'notify'}
KEYS = {**TEXT_KEYS, **NUMBER_KEYS, **FLAG_KEYS}


def read_settings(
        configuration: Mapping, folder: str
        ) -> tuple[Settings, list[str], list[str]]:
    """Return the settings with their errors and warnings.

    Parameters
    ----------
    configuration
        The whole configuration of Orthanc.
    folder
        The folder of Orthanc's index, which relative paths start from.
    """
    section = configuration.get(SECTION)
    if not isinstance(section, Mapping):
        return Settings(), [f'the section "{SECTION}" is missing'], []
    values, errors = _read_values(section)
    errors += _find_missing(section)
    values['url'] = values.get('url', '').rstrip('/')
    errors += _check_url(values['url'])
    cache_file = values.get('cache_file', CACHE_NAME)
    values['cache_file'] = cache_file and os.path.join(folder, cache_file)
    values['case_sensitive_names'] = bool(
        configuration.get('CaseSensitivePN', False))
    values['notify'] = bool(
        values.get('notify', True) and values.get('server'))
    values['notification_file'] = os.path.join(
        folder, values.get('notification_file', QUEUE_NAME))
    if _is_duration(configuration.get('StableAge')):
        values['stable_age'] = configuration['StableAge']
    settings = Settings(**values)
    if not errors:
        errors += _check_files(settings)
    warnings = [_describe_unknown(key) for key in section if key not in KEYS]
    return settings, errors, warnings + _find_risks(settings, configuration)


def _read_values(section: Mapping) -> tuple[dict[str, Any], list[str]]:
    """Return values by the attributes of `Settings`, and errors of type."""
    values: dict[str, Any] = {}
    errors = []
    for key, value in section.items():
        if key in TEXT_KEYS and not isinstance(value, str):
            errors.append(f'"{key}" must be a text in quotes')
        elif key in FLAG_KEYS and not isinstance(value, bool):
            errors.append(f'"{key}" must be true or false')
        elif key in NUMBER_KEYS and not _is_duration(value):
            errors.append(f'"{key}" must be a number of seconds above 0')
        elif key in KEYS:
            values[KEYS[key]] = value
    return values, errors


def _is_duration(value: object) -> bool:
    return (isinstance(value, (int, float)) and not isinstance(value, bool)
        and math.isfinite(value) and value > 0)


def _find_missing(section: Mapping) -> Iterator[str]:
    for key in ['Url', 'Database']:
        if section.get(key, '') == '':
            yield f'"{key}" is missing'
    if section.get('NotificationFile') == '':
        yield '"NotificationFile" must not be empty'
    given = [key for key in ['Key', 'KeyFile'] if section.get(key)]
    if not given:
        yield '"Key" or "KeyFile" is missing'
    elif len(given) == 2:
        yield '"Key" and "KeyFile" are both given'


def _check_url(url: str) -> Iterator[str]:
    if not url:
        return
    try:
        parts = urllib.parse.urlsplit(url)
        valid = (parts.scheme in {'http', 'https'} and parts.hostname
            and not (parts.query or parts.fragment) and parts.port != 0
            and not re.search(r'[^!-~]', url))
    except ValueError:
        valid = False
    if not valid:
        yield '"Url" must be like https://gnuhealth.example:8000'
    elif parts.username or parts.password:
        yield '"Url" must not contain a user or a password'


def _check_files(settings: Settings) -> Iterator[str]:
    try:
        read_key(settings)
    except (OSError, ValueError) as error:
        yield describe_key_error(settings, error)
    try:
        create_tls_context(settings)
    except (OSError, ValueError) as error:
        yield f'"CaFile" cannot be used: {describe_error(error)}'


def _describe_unknown(key: str) -> str:
    similar = difflib.get_close_matches(key, KEYS, 1)
    hint = f'; did you mean "{similar[0]}"?' if similar else ''
    return f'"{key}" is unknown{hint}'


def _find_risks(settings: Settings, configuration: Mapping) -> list[str]:
    risks = []
    if configuration[SECTION].get('Notify', True) and not settings.server:
        risks.append(
            '"Server" is missing: no notifications are sent to GNU Health')
    if settings.key_file and _readable_by_all(settings.key_file):
        risks.append(
            '"KeyFile" can be read by every user of this machine')
    parts = urllib.parse.urlsplit(settings.url) if settings.url else None
    if parts and parts.scheme == 'http' and parts.hostname not in {
            'localhost', '127.0.0.1', '::1'}:
        risks.append(
            '"Url" is not https: key and patient data are sent unencrypted')
    worklists = configuration.get('Worklists')
    if isinstance(worklists, Mapping) and worklists.get('Enable') is True:
        risks.append(
            "Orthanc's own worklists plugin is enabled, and only one plugin"
            ' answers queries: set "Worklists": {"Enable": false}')
    if configuration.get('DefaultEncoding') != 'Utf8':
        risks.append(
            '"DefaultEncoding" of Orthanc is not "Utf8": names in other'
            " scripts are lost")
    return risks


def _readable_by_all(path: str) -> bool:
    try:
        return bool(os.stat(path).st_mode & stat.S_IROTH)
    except OSError:
        return False


def read_key(settings: Settings) -> str:
    """Return the application key.

    Raises
    ------
    OSError, ValueError
        If the file cannot be read or holds no key.
    """
    key = settings.key
    if settings.key_file:
        with open(settings.key_file, encoding='ascii') as file:
            key = file.read(4096)
    key = key.strip()
    if not re.fullmatch('[!-~]+', key):
        raise ValueError("it holds no key")
    return key


def describe_key_error(settings: Settings, error: Exception) -> str:
    name = 'KeyFile' if settings.key_file else 'Key'
    return f'"{name}" cannot be used: {describe_error(error)}'


def create_tls_context(settings: Settings) -> ssl.SSLContext | None:
    """Return what certificates are verified with, None without TLS.

    Raises
    ------
    OSError, ValueError
        If the file of the authorities cannot be used.
    """
    if not settings.url.startswith('https:'):
        return None
    return ssl.create_default_context(cafile=settings.ca_file or None)


def index_folder(configuration: Mapping, path: str) -> str:
    """Return the folder of Orthanc's index.

    Parameters
    ----------
    configuration
        The whole configuration of Orthanc.
    path
        Of the file or folder that the configuration was read from.
    """
    base = path if os.path.isdir(path) else os.path.dirname(path)
    folder = (configuration.get('IndexDirectory')
        or configuration.get('StorageDirectory') or 'OrthancStorage')
    return os.path.abspath(os.path.join(base, folder))
