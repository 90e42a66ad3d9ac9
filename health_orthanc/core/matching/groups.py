# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several orders that one study answers (the group case of IHE).

A modality that acquires several orders at once names all of them: in several
values of AccessionNumber (0008,0050), or in several items of the
RequestAttributesSequence (0040,0275).
"""

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping

from .attributes import Candidate, OrderAttributes, StudyAttributes

__all__ = ['find_groups', 'without_orders']


def find_groups(
        study: StudyAttributes, candidates: Iterable[Candidate]
        ) -> dict[Hashable, tuple[OrderAttributes, ...]]:
    """Return the orders that a study names together with each order.

    They are orders of one patient that identifiers of one kind name. Orders
    of which images are no longer expected are left out, unless the study is
    already linked to them.

    Parameters
    ----------
    study : StudyAttributes
    candidates : iterable of Candidate

    Returns
    -------
    dict of tuple
        The other orders of its group, by the key of each order that is in one.
    """
    by_patient: dict[Hashable, dict[Hashable, OrderAttributes]] = (
        defaultdict(dict))
    for candidate in candidates:
        order = candidate.order
        if order and (order.open or order.key in study.linked_orders):
            by_patient[candidate.patient.key][order.key] = order
    found = {}
    for orders in by_patient.values():
        group = _find_group(study, orders)
        for key in group:
            found[key] = tuple(orders[k] for k in orders if (
                    k in group and k != key))
    return found


def _find_group(
        study: StudyAttributes, orders: Mapping[Hashable, OrderAttributes]
        ) -> frozenset[Hashable]:
    named = [
        frozenset(key for key, o in orders.items() if is_named(study, o))
        for is_named in _KINDS]
    several = [keys for keys in named if len(keys) > 1]
    if not several or not frozenset.intersection(*several):
        # Two groups with nothing in common contradict each other
        return frozenset()
    return frozenset().union(*several)


def _has_number(study: StudyAttributes, order: OrderAttributes) -> bool:
    return not _numbers(order).isdisjoint(study.accession_numbers)


def _has_uid(study: StudyAttributes, order: OrderAttributes) -> bool:
    return bool(order.study_uid) and order.study_uid in study.study_uids


def _has_step(study: StudyAttributes, order: OrderAttributes) -> bool:
    return not _step_ids(order).isdisjoint(study.step_ids)


_KINDS: list[Callable[[StudyAttributes, OrderAttributes], bool]] = [
    _has_number, _has_uid, _has_step]


def _numbers(order: OrderAttributes) -> set[str]:
    return {order.accession_number, *order.aliases} - {''}


def _step_ids(order: OrderAttributes) -> set[str]:
    return {s.step_id for s in order.steps} - {''}


def without_orders(
        study: StudyAttributes, order: OrderAttributes,
        others: Iterable[OrderAttributes]) -> StudyAttributes:
    """Return a study without the identifiers of other orders.

    What names the other orders of a group is no difference to this one.

    Parameters
    ----------
    study : StudyAttributes
    order : OrderAttributes
        Whose identifiers are kept.
    others : iterable of OrderAttributes

    Returns
    -------
    StudyAttributes
    """
    others = list(others)
    numbers = set().union(*map(_numbers, others)) - _numbers(order)
    uids = {o.study_uid for o in others} - {order.study_uid}
    own = [part.strip() for part in study.accession_number.split('\\')]
    return dataclasses.replace(
        study,
        accession_number='\\'.join(n for n in own if n not in numbers),
        requested_accession_numbers=(
            study.requested_accession_numbers - numbers),
        study_uid='' if study.study_uid in uids else study.study_uid,
        requested_study_uids=study.requested_study_uids - uids,
        step_ids=study.step_ids - (
            set().union(*map(_step_ids, others)) - _step_ids(order)),
        procedure_ids=study.procedure_ids - (
            {o.procedure_id for o in others} - {order.procedure_id}))
