# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Worklist items in the REST API of Orthanc's worklists plugin.

This follows the Orthanc Book (``plugins/worklists-plugin-new.html``) and the
sources of the plugin's versions 0.9.0 to 0.9.2.  It was not tested with an
Orthanc.

- ``POST /worklists/create`` and ``PUT /worklists/{id}`` take ``{"Tags": …}``,
  where an element is named by its keyword or tag, a sequence is a list of
  objects and all else is a text; they answer ``{"ID": …, "Path": …}``.
  Orthanc chooses the id.
- ``GET /worklists?format=Simplify`` answers a list of ``{"ID": …, "Tags": …}``
  by keyword, with all items, whoever has created them.
- ``DELETE /worklists/{id}`` answers 404 if there is no such item.
- Texts are UTF-8.  Orthanc stores them in the character set that is among the
  tags.  It does not accept an empty text for a number.
"""

from collections.abc import Iterable, Mapping
from io import BytesIO
from typing import Any

import pydicom
from pydicom.datadict import dictionary_is_retired, keyword_for_tag
from pydicom.dataelem import DataElement

from ..dicom.charsets import UNICODE
from ..worklist.dump import STEP, texts_of

__all__ = [
    'MINIMUM_VERSION', 'PLUGINS', 'Identity', 'find_identity', 'identities',
    'to_tags']

# Of Orthanc itself
MINIMUM_VERSION = (1, 12, 10)
# The second plugin had the API for a while, before it was renamed to the
# first one; today's builds of it do not
PLUGINS = frozenset({'orthanc-worklists', 'worklists'})
_NUMBERS = {'FD', 'FL', 'SL', 'SS', 'UL', 'US'}

# StudyInstanceUID and ScheduledProcedureStepID: no two entries have the same
Identity = tuple[str, str]


def to_tags(file: bytes) -> dict[str, Any]:
    """Return the tags of a worklist file for the REST API, in Unicode.

    Parameters
    ----------
    file : bytes
        As `dicom_file.to_file` returns.
    """
    tags = _tags(pydicom.dcmread(BytesIO(file)))
    return {**tags, 'SpecificCharacterSet': UNICODE}


def _tags(dataset: Iterable[DataElement]) -> dict[str, Any]:
    return {
        _name(element): _value(element) for element in dataset
        if element.VR not in _NUMBERS or texts_of(element)}


def _name(element: DataElement) -> str:
    """Return the keyword of an element if DCMTK knows it, else the tag."""
    tag = element.tag
    keyword = keyword_for_tag(tag)
    if keyword and not dictionary_is_retired(tag):
        return keyword
    return f'{tag.group:04x},{tag.element:04x}'


def _value(element: DataElement) -> str | list[dict[str, Any]]:
    if element.VR == 'SQ':
        return [_tags(item) for item in element.value]
    return '\\'.join(texts_of(element))


def find_identity(tags: Any) -> Identity | None:
    """Return the identity of a worklist item, or None if it is unknown."""
    try:
        step, = tags[STEP]
        identity = tags['StudyInstanceUID'], step['ScheduledProcedureStepID']
        uid, id_ = (text.strip(' \0') for text in identity)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return (uid, id_) if uid and id_ else None


def identities(answer: Iterable[Any]) -> Mapping[str, Identity | None]:
    """Return the identities of all items of a listing, by their Orthanc ids.

    Parameters
    ----------
    answer : iterable
        The answer to ``GET /worklists?format=Simplify``.

    Raises
    ------
    ValueError
        It is no such listing.
    """
    found = {}
    for entry in answer:
        if not isinstance(entry, dict) or not isinstance(
                entry.get('ID'), str):
            raise ValueError('ID')
        found[entry['ID']] = find_identity(entry.get('Tags'))
    return found
