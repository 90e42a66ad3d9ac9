# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parsing of Orthanc's answers."""

import json
import re
from typing import Any

from .errors import UnexpectedAnswer

__all__ = [
    'error_message', 'find_identifier', 'is_identifier', 'parse_identifier',
    'parse_json', 'parse_resources']

# Anything else could lead to another resource
_IDENTIFIER = re.compile(r'[A-Za-z0-9_-]+')
_PHRASE = re.compile(r'[A-Za-z][A-Za-z ,.()/-]{0,99}')


def is_identifier(value: str) -> bool:
    """Return whether a text can be one name in a path of Orthanc.

    Anything else could lead to another resource.
    """
    return _IDENTIFIER.fullmatch(value) is not None


def parse_json(type_: type, body: bytes, name: str) -> Any:
    """Return the JSON value of an answer.

    Parameters
    ----------
    type_ : type
        Which the value must have.
    body : bytes
        In UTF-8.
    name : str
        The call, for the error: as in ``'GET /studies'``.

    Raises
    ------
    UnexpectedAnswer
        ``'not JSON'``, or ``'shape'`` for another type.
    """
    try:
        value = json.loads(body.decode('utf-8'))
    except (ValueError, RecursionError):
        # The original error would hold the body
        raise UnexpectedAnswer('not JSON', name) from None
    if not isinstance(value, type_):
        raise UnexpectedAnswer('shape', name)
    return value


def parse_identifier(body: bytes, name: str) -> str:
    """Return the ``ID`` in an answer, as `find_identifier` does.

    Parameters
    ----------
    body : bytes
    name : str
        The call, for the error.
    """
    return find_identifier(parse_json(dict, body, name), 'ID', name)


def find_identifier(answer: dict[str, Any], key: str, name: str) -> str:
    """Return an identifier in an answer.

    Parameters
    ----------
    answer : dict
    key : str
    name : str
        The call, for the error.

    Raises
    ------
    UnexpectedAnswer
        ``'shape'``: it is missing, or no identifier.
    """
    value = answer.get(key)
    if not isinstance(value, str) or not is_identifier(value):
        raise UnexpectedAnswer('shape', name)
    return value


def parse_resources(body: bytes, name: str) -> list[dict[str, Any]]:
    """Return the resources in an answer.

    Parameters
    ----------
    body : bytes
    name : str
        The call, for the error.

    Returns
    -------
    list of dict

    Raises
    ------
    UnexpectedAnswer
        It is no list of objects.
    """
    values = parse_json(list, body, name)
    if not all(isinstance(value, dict) for value in values):
        raise UnexpectedAnswer('shape', name)
    return values


def error_message(body: bytes) -> str:
    """Return the message of an error of Orthanc.

    Returns
    -------
    str
        One of Orthanc's own phrases, as in ``'Bad file format'``; empty for
        anything else, which could hold data of a patient.
    """
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return ''
    message = answer.get('Message') if isinstance(answer, dict) else None
    if isinstance(message, str) and _PHRASE.fullmatch(message):
        return message
    return ''
