# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers of Orthanc: JSON of an expected shape."""

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
    """Return whether a value can be one name in a path of Orthanc."""
    return _IDENTIFIER.fullmatch(value) is not None


def parse_json(type_: type, body: bytes, name: str) -> Any:
    try:
        value = json.loads(body.decode('utf-8'))
    except (ValueError, RecursionError):
        # The error holds the body.
        raise UnexpectedAnswer('not JSON', name) from None
    if not isinstance(value, type_):
        raise UnexpectedAnswer('shape', name)
    return value


def parse_identifier(body: bytes, name: str) -> str:
    return find_identifier(parse_json(dict, body, name), 'ID', name)


def find_identifier(answer: dict[str, Any], key: str, name: str) -> str:
    value = answer.get(key)
    if not isinstance(value, str) or not is_identifier(value):
        raise UnexpectedAnswer('shape', name)
    return value


def parse_resources(body: bytes, name: str) -> list[dict[str, Any]]:
    values = parse_json(list, body, name)
    if not all(isinstance(value, dict) for value in values):
        raise UnexpectedAnswer('shape', name)
    return values


def error_message(body: bytes) -> str:
    "Return what Orthanc says is wrong, one of its own phrases"
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return ''
    message = answer.get('Message') if isinstance(answer, dict) else None
    if isinstance(message, str) and _PHRASE.fullmatch(message):
        return message
    return ''
