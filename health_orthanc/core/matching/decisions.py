# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decision on a study: link, propose or leave unlinked.

A study is linked for certain to an order only by a key of that order, and to
a patient without an order only by the PUID, if everything that could be
compared agrees. Every other study waits for a person, with a reason.
"""

import enum
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from .score import Assessment, Key
from .verdicts import Verdict

__all__ = [
    'BOUNDS', 'Decision', 'Doubt', 'Status', 'Thresholds', 'decide']


class Status(enum.Enum):
    """The link statuses that are set automatically"""
    CERTAIN = 'auto_certain'
    UNSURE = 'auto_unsure'
    UNLINKED = 'unlinked'


class Doubt(enum.Enum):
    """The reason why a study waits for a person, the gravest first"""
    NOBODY = 'nobody'  # no candidate
    VETO = 'veto'
    FLOOR = 'floor'  # the best candidate is too weak
    TIE = 'tie'  # two candidates are equally good
    OTHER_KEY = 'other_key'  # a key leads to another order
    NAMESAKE = 'namesake'  # a second patient has this name and birth date
    RIVAL = 'rival'  # another candidate is nearly as good
    DIFFERENCE = 'difference'  # a field differs
    NO_KEY = 'no_key'  # only the patient leads to the order
    IDENTITY = 'identity'  # insufficient identity data
    OPEN_ORDER = 'open_order'  # an open order fits, with another number
    INACTIVE = 'inactive'  # the patient is deactivated
    DECEASED = 'deceased'  # the patient died before the study
    UNBORN = 'unborn'  # the patient was born after the study


# Limits of the thresholds: none allows less certain links than the defaults
BOUNDS = {
    'review_score': (50, 100),
    'margin': (15, 100),
    'order_identity': (2, 4),
    'patient_identity': (3, 4),
    'candidates': (1, 50),
    }


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The thresholds of decisions, which a hospital may set

    Independently of them, a certain link has a score of 100 and an equal name.

    Attributes
    ----------
    review_score : int
        The least score of a proposal.
    review_strength : float
        The least strength of a proposal. By default a study UID or a PUID is
        enough, and so is a name with its birth date, but not a name with the
        sex.
    margin : float
        By how much a certain candidate must be stronger than any other patient
        or order.
    tie : float
        By how much a proposed candidate must be.
    order_identity : int
        How many of PUID, name, birth date and sex must be equal if a key leads
        to the order; PUID or birth date must be among them.
    patient_identity : int
        How many if only the PUID leads to the patient; it and the name must be
        among them.
    candidates : int
        How many candidates are kept for people to choose from, besides those
        to whom a key or an identifier leads.
    candidate_strength : float
        The least strength of a candidate that is kept; those with equal name
        and birth date always are, and so are those with the identifier or one
        that is a typing error away.

    Raises
    ------
    ValueError
        A threshold is outside of its `BOUNDS`.
    """
    review_score: int = 60
    review_strength: float = 38
    margin: float = 15
    tie: float = 1
    order_identity: int = 2
    patient_identity: int = 3
    candidates: int = 10
    candidate_strength: float = 5

    def __post_init__(self) -> None:
        for name, (least, most) in BOUNDS.items():
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} is not between {least} and {most}")


@dataclass(frozen=True, slots=True)
class Decision:
    """What is done with a study

    Attributes
    ----------
    status : Status
    best : Assessment or None
        The candidate that is linked; None if the study stays unlinked.
    candidates : tuple of Assessment
        The best first, those with a veto included.
    doubt : Doubt or None
        Why a person should look; None if the link is certain.
    further : tuple of Assessment
        The further orders of the patient that the study answers too.
    """
    status: Status
    best: Assessment | None
    candidates: tuple[Assessment, ...]
    doubt: Doubt | None = None
    further: tuple[Assessment, ...] = ()

    @property
    def orders(self) -> tuple[Hashable, ...]:
        "tuple of hashable : the keys of all orders that are linked"
        return tuple(
            a.candidate.order.key for a in [self.best, *self.further]
            if a and a.candidate.order)


def decide(
        assessments: Sequence[Assessment],
        thresholds: Thresholds = Thresholds()) -> Decision:
    """Return the decision on a study.

    Parameters
    ----------
    assessments : sequence of Assessment
        Of one study, as `score.assess` returns them.
    thresholds : Thresholds

    Returns
    -------
    Decision
    """
    # A closed order needs a key that leads to it
    eligible = [
        a for a in assessments
        if not a.candidate.order or a.order_key or a.candidate.order.open]
    worth = [
        a for a in eligible
        if a.order_key or a.strength >= thresholds.candidate_strength
        # Perhaps another patient's ID was typed
        or a.is_equal('name', 'birth_date') or a.is_near_patient_id]
    shown = _first(worth, thresholds.candidates)
    if not eligible:
        return Decision(Status.UNLINKED, None, (), Doubt.NOBODY)
    best, others = eligible[0], eligible[1:]
    doubt = _why_unlinked(best, others, thresholds)
    if doubt:
        return Decision(Status.UNLINKED, None, shown, doubt)
    further = [a for a in others if _is_grouped(best, a)]
    others = [a for a in others if not _is_grouped(best, a)]
    best, doubt = _choose_order(best, others, thresholds)
    if doubt:
        further = []
    linked = [best, *further]
    rest = [a for a in eligible if not _is_one_of(a, linked)]
    # Each order has to be as certain as if it were the only one
    doubts = [doubt, *(_why_unsure(a, rest, thresholds) for a in linked)]
    doubt = next(filter(None, doubts), None)
    status = Status.UNSURE if doubt else Status.CERTAIN
    shown = (*linked, *(a for a in shown if not _is_one_of(a, linked)))
    return Decision(status, best, shown, doubt, tuple(further))


def _is_one_of(
        assessment: Assessment, others: Sequence[Assessment]) -> bool:
    return any(assessment is other for other in others)


def _is_grouped(best: Assessment, other: Assessment) -> bool:
    "Return whether the study names both orders together"
    order = other.candidate.order
    return bool(order and order.key in best.group and other.order_key)


def _first(found: Sequence[Assessment], limit: int) -> tuple[Assessment, ...]:
    """Return the first of those found, and all that a key leads to.

    Whoever owns the identifier, or one next to it, is always shown.
    """
    kept = [
        a for number, a in enumerate(found)
        if number < limit or a.order_key or a.is_near_patient_id]
    return tuple(kept)


def _why_unlinked(
        best: Assessment, others: Sequence[Assessment],
        thresholds: Thresholds) -> Doubt | None:
    if best.vetoes:
        return Doubt.VETO
    if best.score < thresholds.review_score or (
            best.strength < thresholds.review_strength):
        return Doubt.FLOOR
    if any(
            _is_other_patient(best, a) and not a.vetoes
            and best.strength - a.strength < thresholds.tie
            for a in others):
        return Doubt.TIE
    return None


def _choose_order(
        best: Assessment, others: Sequence[Assessment],
        thresholds: Thresholds) -> tuple[Assessment, Doubt | None]:
    """Choose no order if two of one patient are equally good."""
    patient = best.candidate.patient.key
    same = [a for a in others if a.candidate.patient.key == patient]
    if best.candidate.order and any(
            a.candidate.order
            and best.strength - a.strength < thresholds.tie for a in same):
        without = [a for a in same if not a.candidate.order]
        return (without or [best])[0], Doubt.TIE
    return best, None


def _why_unsure(
        best: Assessment, others: Sequence[Assessment],
        thresholds: Thresholds) -> Doubt | None:
    if best.obstacle:
        return Doubt(best.obstacle.value)
    if any(a.order_key and not _is_same_order(a, best) for a in others):
        return Doubt.OTHER_KEY
    if any(
            _is_other_patient(best, a) and a.is_equal('patient_id')
            for a in others):
        return Doubt.RIVAL
    if not best.owns_patient_id and any(
            _is_other_patient(best, a) and a.is_equal('name', 'birth_date')
            for a in others):
        return Doubt.NAMESAKE
    if any(
            (_is_other_patient(best, a)
                or best.candidate.order and a.candidate.order)
            and not a.vetoes
            and best.strength - a.strength < thresholds.margin
            for a in others):
        return Doubt.RIVAL
    if best.score < 100 or Verdict.DIFFERS in best.identity or not (
            best.is_equal('name') or _is_name_dispensable(best)):
        return Doubt.DIFFERENCE
    if not best.candidate.order and any(
            not _is_other_patient(best, a) and a.may_be_ordered
            for a in others):
        return Doubt.OPEN_ORDER
    return _why_no_key(best, thresholds)


def _is_name_dispensable(best: Assessment) -> bool:
    """Return whether all but a name of lost letters identifies somebody.

    The console knows fewer letters than the hospital writes names with.
    """
    return best.has_lost_letters and (
        best.key in {Key.STUDY_UID, Key.ACCESSION_NUMBER}
        and best.identity.count(Verdict.EQUAL) >= 3)


def _why_no_key(best: Assessment, thresholds: Thresholds) -> Doubt | None:
    equal = best.identity.count(Verdict.EQUAL)
    by_puid = best.owns_patient_id
    if best.candidate.order:
        if not best.order_key:
            return Doubt.NO_KEY
        if equal < thresholds.order_identity or not (
                by_puid or best.is_equal('birth_date')) or (
                best.key is Key.STEP and not by_puid):
            return Doubt.IDENTITY
    elif not by_puid or equal < thresholds.patient_identity:
        return Doubt.IDENTITY
    return None


def _is_other_patient(one: Assessment, other: Assessment) -> bool:
    return one.candidate.patient.key != other.candidate.patient.key


def _is_same_order(one: Assessment, other: Assessment) -> bool:
    first, second = one.candidate.order, other.candidate.order
    return bool(first and second and first.key == second.key)
