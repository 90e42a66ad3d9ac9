# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""URLs of viewers from templates."""

import string
from collections.abc import Mapping
from urllib.parse import quote, urljoin, urlsplit

__all__ = [
    'PLACEHOLDERS', 'TemplateError', 'check_template', 'check_token_template',
    'viewer_url']

# Placeholders at each level
PLACEHOLDERS = {
    'patient': {'OrthancID', 'PatientID', 'ServerURL'},
    'study': {
        'OrthancID', 'PatientID', 'StudyInstanceUID', 'ServerURL'},
    'series': {
        'OrthancID', 'PatientID', 'StudyInstanceUID', 'SeriesInstanceUID',
        'StudyOrthancID', 'ServerURL'},
    'instance': {
        'OrthancID', 'PatientID', 'StudyInstanceUID', 'SeriesInstanceUID',
        'SOPInstanceUID', 'StudyOrthancID', 'SeriesOrthancID', 'ServerURL'},
    }
TOKEN = 'Token'
# A token names a study; a patient may have several
TOKEN_LEVELS = {'study', 'series', 'instance'}
_SCHEMES = {'', 'http', 'https', 'weasis'}


class TemplateError(ValueError):
    """A template that cannot become a URL

    Attributes
    ----------
    reason : str
        ``'syntax'``, ``'placeholder'``, ``'scheme'`` or ``'token'``.
    detail : str
        The placeholder or scheme.
    """

    def __init__(self, reason: str, detail: str = ''):
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def check_template(template: str, level: str) -> None:
    """Check the template of a viewer.

    Parameters
    ----------
    template : str
    level : str
        A key of `PLACEHOLDERS`.

    Raises
    ------
    TemplateError
    """
    _check_names(_names(template), level)
    _check_scheme(template)


def check_token_template(template: str, level: str) -> None:
    """Check the template of a viewer that is opened by token.

    Parameters
    ----------
    template : str
    level : str
        A key of `PLACEHOLDERS`.

    Raises
    ------
    TemplateError
    """
    names = _names(template)
    if TOKEN not in names or level not in TOKEN_LEVELS:
        raise TemplateError('token')
    _check_names(names - {TOKEN}, level)
    _check_scheme(template)


def viewer_url(template: str, base: str, values: Mapping[str, str]) -> str:
    """Return the URL at which a viewer shows a resource.

    Parameters
    ----------
    template : str
        Checked by `check_template`; relative to the server unless it has a
        scheme.
    base : str
        The server's public URL with a trailing slash.
    values : mapping
        Values of the placeholders; each is percent-encoded.
    """
    quoted = {
        name: quote(value or '', safe='') for name, value in values.items()}
    quoted['ServerURL'] = base.rstrip('/')
    url = string.Formatter().vformat(template, (), quoted)
    return urljoin(base, url)


def _check_names(names: set[str], level: str) -> None:
    for name in sorted(names - PLACEHOLDERS[level]):
        raise TemplateError('placeholder', name)


def _names(template: str) -> set[str]:
    try:
        fields = list(string.Formatter().parse(template))
    except ValueError as error:
        raise TemplateError('syntax', str(error)) from None
    if any(spec or conversion for _, _, spec, conversion in fields):
        raise TemplateError('syntax', template)
    return {name for _, name, _, _ in fields if name is not None}


def _check_scheme(template: str) -> None:
    if template.startswith('{ServerURL}'):
        return
    scheme = urlsplit(template.strip()).scheme
    if scheme not in _SCHEMES or template.startswith(('{', '//')):
        raise TemplateError('scheme', scheme)
