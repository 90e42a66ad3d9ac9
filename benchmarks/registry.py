# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patients and studies of the populations that are not made by `people.py`."""
from collections.abc import Sequence
from dataclasses import dataclass, field

from rapidfuzz.distance import OSA

from trytond.modules.health_orthanc.core.matching.attributes import (
    Candidate, PatientAttributes)

from .pairs import Pair


@dataclass(frozen=True)
class Registered:
    "A patient, as an index takes it"
    facts: PatientAttributes

    @property
    def key(self) -> int:
        return self.facts.key  # type: ignore[return-value]


@dataclass
class Registry:
    """What an index and the measuring take in place of a `pairs.Hospital`

    Attributes
    ----------
    people : list of Registered
    pairs : list of Pair
    orders : dict
        The candidates that orders make, by the key of the order.
    """
    people: list[Registered]
    pairs: list[Pair]
    orders: dict[int, Candidate] = field(default_factory=dict)

    @property
    def population(self) -> 'Registry':
        return self


def is_one_slip(one: str, other: str) -> bool:
    "Return whether an identifier is another one with a single typing error"
    return OSA.distance(one, other, score_cutoff=1) == 1


def kinds_of(pairs: Sequence[Pair]) -> dict[str, float]:
    "Return the share of each kind of studies"
    kinds = [pair.kind for pair in pairs]
    return {
        kind: kinds.count(kind) / len(kinds) for kind in sorted(set(kinds))}
