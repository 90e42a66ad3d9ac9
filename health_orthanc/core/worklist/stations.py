# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Worklist items of steps that several stations may perform"""

import io
from copy import deepcopy

from pydicom import dcmread
from pydicom.dataset import Dataset

from .completion import set_value, text_of
from .dicom_file import to_file
from .dump import STEP, to_dump, to_json

__all__ = ['count_stations', 'split_stations']

_TITLE = 'ScheduledStationAETitle'


def count_stations(dataset: Dataset) -> int:
    """Return the number of AE titles of the step, at least 1."""
    return len(_titles(dataset)) or 1


def split_stations(file: bytes, kind: str) -> list[tuple[bytes, str]]:
    """Return an item for each station of a step.

    Orthanc's worklists plugin and wlmscpfs compare the whole text of the
    element with the AE title of a query.

    Parameters
    ----------
    file : bytes
        Of `to_file`.
    kind : str
        ``'dump2dcm'`` or ``'json'``.

    Returns
    -------
    list of tuple
        The file and the text of each.
    """
    dataset = dcmread(io.BytesIO(file))
    found = []
    for title in _titles(dataset):
        single = Dataset({
                element.tag: deepcopy(element) for element in dataset})
        set_value(single[STEP].value[0], _TITLE, title)
        text = to_json(single) if kind == 'json' else to_dump(single)
        found.append((to_file(single), text))
    return found


def _titles(dataset: Dataset) -> list[str]:
    text = text_of(dataset[STEP].value[0], _TITLE)
    return list(dict.fromkeys(filter(None, text.split('\\'))))
