# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths of DICOMweb (PS3.18 §10.3).

A path is matched as a whole and built anew from what it names: nothing else
reaches Orthanc.
"""

import re
from dataclasses import dataclass

__all__ = ['PIXELS', 'Resource', 'parse_path']

# Longer than any path that is meant, and what servers take
_LONGEST = 2048
# Some devices begin components with 0
_UID = r'[0-9]+(?:\.[0-9]+)*'
_LONGEST_UID = 64
_STUDY = rf'studies/(?P<study>{_UID})'
_SERIES = rf'{_STUDY}/series/(?P<series>{_UID})'
_INSTANCE = rf'{_SERIES}/instances/(?P<instance>{_UID})'
_NUMBER = '[1-9][0-9]{0,5}'
_FRAME = rf'{_INSTANCE}/frames/(?P<frames>{_NUMBER})'
_FRAMES = rf'{_INSTANCE}/frames/(?P<frames>{_NUMBER}(?:,{_NUMBER})*)'
_TAG = '[0-9A-Fa-f]{8}'
_BULK = rf'{_INSTANCE}/bulk/(?P<bulk>{_TAG}(?:/[0-9]{{1,6}}/{_TAG}){{0,16}})'

_PATTERNS = [
    (method, kind, re.compile(pattern)) for method, kind, pattern in [
        ('GET', 'search_studies', 'studies'),
        ('GET', 'search_series', f'{_STUDY}/series'),
        ('GET', 'search_instances', f'{_STUDY}/instances'),
        ('GET', 'search_instances', f'{_SERIES}/instances'),
        *(('GET', 'retrieve', p) for p in [_STUDY, _SERIES, _INSTANCE]),
        *(('GET', 'metadata', f'{p}/metadata') for p in [
                _STUDY, _SERIES, _INSTANCE]),
        ('GET', 'frames', _FRAMES),
        *(('GET', 'rendered', f'{p}/rendered') for p in [_INSTANCE, _FRAME]),
        *(('GET', 'thumbnail', f'{p}/thumbnail') for p in [
                _STUDY, _SERIES, _INSTANCE, _FRAME]),
        ('GET', 'bulk', _BULK),
        ('POST', 'store', 'studies'),
        ('POST', 'store', _STUDY),
        ]]

# What shows images, whole or in part
PIXELS = frozenset({'retrieve', 'frames', 'rendered', 'thumbnail', 'bulk'})


@dataclass(frozen=True)
class Resource:
    """What a path names

    Attributes
    ----------
    kind : str
        ``'search_studies'``, ``'search_series'``, ``'search_instances'``,
        ``'retrieve'``, ``'metadata'``, ``'frames'``, ``'rendered'``,
        ``'thumbnail'``, ``'bulk'`` or ``'store'``.
    study, series, instance : str or None
        UIDs.
    frames : str or None
        Numbers from 1, separated by commas.
    bulk : str or None
        The path of a value below the instance.
    """
    kind: str
    study: str | None = None
    series: str | None = None
    instance: str | None = None
    frames: str | None = None
    bulk: str | None = None

    @property
    def path(self) -> str:
        """str : the path, relative to the root of DICOMweb"""
        parts = ['studies']
        for name, uid in [
                (None, self.study), ('series', self.series),
                ('instances', self.instance)]:
            if uid is not None:
                parts += [name, uid] if name else [uid]
        if self.frames is not None:
            parts += ['frames', self.frames]
        if self.bulk is not None:
            parts += ['bulk', self.bulk]
        parts += _ENDS.get(self.kind, [])
        return '/'.join(parts)


_ENDS = {
    'search_series': ['series'], 'search_instances': ['instances'],
    'metadata': ['metadata'], 'rendered': ['rendered'],
    'thumbnail': ['thumbnail']}


def parse_path(method: str, path: str) -> Resource | None:
    """Return what a request names.

    Parameters
    ----------
    method : str
    path : str
        Relative to the root of DICOMweb, decoded.

    Returns
    -------
    Resource or None
        None for all that is not passed on.
    """
    if len(path) > _LONGEST:
        return None
    for allowed, kind, pattern in _PATTERNS:
        if method == allowed and (match := pattern.fullmatch(path)):
            names = match.groupdict()
            if all(len(names.get(level) or '') <= _LONGEST_UID
                    for level in ['study', 'series', 'instance']):
                return Resource(kind, **names)
    return None
