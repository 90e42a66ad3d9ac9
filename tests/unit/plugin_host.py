# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the plugin needs of Orthanc, without Orthanc."""
import io
import json

import pydicom

__all__ = ['SECRET', 'Answers', 'Host', 'Query', 'decode']

SECRET = 'secret-key'


def decode(dicom: bytes) -> str:
    """Return a DICOM file as JSON, as Orthanc does."""
    return json.dumps(_tags(pydicom.dcmread(io.BytesIO(dicom))))


def _tags(dataset: pydicom.Dataset) -> dict[str, object]:
    tags: dict[str, object] = {}
    for element in dataset:
        tag = f'{element.tag.group:04x},{element.tag.element:04x}'
        if element.VR == 'SQ':
            tags[tag] = list(map(_tags, element.value))
        elif isinstance(element.value, pydicom.multival.MultiValue):
            tags[tag] = '\\'.join(map(str, element.value))
        else:
            tags[tag] = '' if element.value is None else str(element.value)
    return tags


class Host:
    """An Orthanc that holds nothing."""

    def get(self, path: str) -> bytes:
        raise RuntimeError(path)

    def post(self, path: str, body: str) -> bytes:
        raise RuntimeError(path)

    def dicom_to_json(self, dicom: bytes) -> str:
        return decode(dicom)


class Query:
    """A query, as Orthanc passes it."""

    def __init__(self, file: bytes):
        self.file = file

    def WorklistGetDicomQuery(self) -> bytes:
        return self.file


class Answers(list):
    """The answers to a query, as Orthanc passes them."""
    incomplete = False

    def WorklistAddAnswer(self, query: Query, file: bytes) -> None:
        self.append(file)

    def WorklistMarkIncomplete(self) -> None:
        self.incomplete = True
