# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries as the REST API of Orthanc's worklists plugin takes them.

What stands here of the plugin was only read: in the Orthanc Book
(``plugins/worklists-plugin-new.html``) and in the sources of its versions
0.9.0 to 0.9.2.  It was tried with no Orthanc.

- ``POST /worklists/create`` and ``PUT /worklists/{id}`` take ``{"Tags": …}``,
  where an element is named by its keyword or tag, a sequence is a list of
  objects and all else is a text; they answer ``{"ID": …, "Path": …}``.
  Orthanc chooses the id.
- ``GET /worklists?format=Simplify`` answers a list of ``{"ID": …, "Tags": …}``
  with keywords in it, of all that is there, whoever made it.
- ``DELETE /worklists/{id}`` answers 404 where there is none.
- The texts are UTF-8.  Orthanc stores them in the character set that they
  name among themselves.  An empty text is no number to it.
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

# That of Orthanc itself
MINIMUM_VERSION = (1, 12, 10)
# The second one had the API for a while before it became the first one; as
# it is built today it has none
PLUGINS = frozenset({'orthanc-worklists', 'worklists'})
_NUMBERS = {'FD', 'FL', 'SL', 'SS', 'UL', 'US'}

# StudyInstanceUID and ScheduledProcedureStepID: no two entries have the same
Identity = tuple[str, str]


def to_tags(file: bytes) -> dict[str, Any]:
    "Return what the API is told of a worklist file, in Unicode"
    tags = _tags(pydicom.dcmread(BytesIO(file)))
    return {**tags, 'SpecificCharacterSet': UNICODE}


def _tags(dataset: Iterable[DataElement]) -> dict[str, Any]:
    return {
        _name(element): _value(element) for element in dataset
        if element.VR not in _NUMBERS or texts_of(element)}


def _name(element: DataElement) -> str:
    "Return a keyword that DCMTK knows too, or else the tag"
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
    "Return what an entry stands for, None if it does not say so"
    try:
        step, = tags[STEP]
        identity = tags['StudyInstanceUID'], step['ScheduledProcedureStepID']
        uid, id_ = (text.strip(' \0') for text in identity)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return (uid, id_) if uid and id_ else None


def identities(answer: Iterable[Any]) -> Mapping[str, Identity | None]:
    """Return what the entries of a listing stand for, by their ids.

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
