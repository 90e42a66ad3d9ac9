# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Matching configuration: thresholds and windows"""

import datetime as dt

from trytond.model import ModelSingleton, ModelSQL, ModelView, fields
from trytond.transaction import without_check_access

from ..common.access import GuardedMixin
from ..core.matching.decisions import BOUNDS, Thresholds, decide
from ..core.matching.score import (
    DATE_WINDOW, WIDEST_DATE_WINDOW, LastPerson, assess)
from .candidates import ORDER_WINDOW, find_candidates

__all__ = ['MatchingConfiguration']

_DEFAULTS = Thresholds()
_LONGEST_ORDER_WINDOW = dt.timedelta(days=366)


def _between(type_, string, name, least, most, help):
    return type_(
        string, required=True,
        domain=[(name, '>=', least), (name, '<=', most)], help=help)


def _threshold(string, name, help):
    return _between(fields.Integer, string, name, *BOUNDS[name], help)


class MatchingConfiguration(
        GuardedMixin, ModelSingleton, ModelSQL, ModelView):
    "Matching Configuration"
    __name__ = 'gnuhealth.orthanc.matching.configuration'

    review_score = _threshold(
        "Minimum Score", 'review_score',
        "Studies with at least this score are linked for review. Studies with "
        "a lower score stay unlinked. Automatic links always have a score of "
        "100.")
    margin = _threshold(
        "Minimum Score Lead", 'margin',
        "By how many points the best candidate must exceed every other "
        "patient or order to be linked automatically.")
    order_identity = _threshold(
        "Equal Fields with Order", 'order_identity',
        "How many of PUID, name, birth date and sex must be equal to link a "
        "study automatically to the order that it identifies.")
    patient_identity = _threshold(
        "Equal Fields without Order", 'patient_identity',
        "How many of PUID, name, birth date and sex must be equal to link a "
        "study automatically to a patient without an order.")
    candidates = _threshold(
        "Number of Candidates", 'candidates',
        "The number of candidates shown in the review.")
    date_window = _between(
        fields.TimeDelta, "Date Tolerance", 'date_window', dt.timedelta(),
        WIDEST_DATE_WINDOW,
        "The dates of a study and of its step count as equal within this "
        "time.")
    order_window = _between(
        fields.TimeDelta, "Order Date Tolerance", 'order_window',
        dt.timedelta(1), _LONGEST_ORDER_WINDOW,
        "An order is a candidate for a study without an order ID if their "
        "dates are within this time.")
    issuers = fields.Text(
        "PUID Issuers",
        help="Issuers of Patient ID (0010,0021) whose patient IDs are PUIDs, "
        "one per line. Other hospitals may use the same IDs for other "
        "patients. Leave empty to accept all issuers. Images without an "
        "issuer are always accepted.")

    @classmethod
    def create(cls, vlist):
        if cls.get_singleton():
            return super().create(vlist)
        # ModelSingleton would lock the table. That restarts the transaction,
        # which is not possible while the module is activated.
        return super(ModelSingleton, cls).create(vlist)

    @staticmethod
    def default_review_score():
        return _DEFAULTS.review_score

    @staticmethod
    def default_margin():
        return int(_DEFAULTS.margin)

    @staticmethod
    def default_order_identity():
        return _DEFAULTS.order_identity

    @staticmethod
    def default_patient_identity():
        return _DEFAULTS.patient_identity

    @staticmethod
    def default_candidates():
        return _DEFAULTS.candidates

    @staticmethod
    def default_date_window():
        return DATE_WINDOW

    @staticmethod
    def default_order_window():
        return ORDER_WINDOW

    @classmethod
    @without_check_access
    def decisions(cls, studies):
        """Decide on the links of studies, with the hospital's thresholds.

        Parameters
        ----------
        studies : list of StudyAttributes

        Returns
        -------
        list of Decision
            One for each study.
        """
        return cls.decide(cls.assessments(studies))

    @classmethod
    @without_check_access
    def decide(cls, assessments):
        """Decide on the links of studies that were assessed.

        Parameters
        ----------
        assessments : iterable of list of Assessment
            From `assessments` or `iter_assessments`.

        Returns
        -------
        list of Decision
        """
        configuration = cls(1)
        thresholds = Thresholds(**{
                name: getattr(configuration, name) for name in BOUNDS})
        return [decide(found, thresholds) for found in assessments]

    @classmethod
    @without_check_access
    def assessments(cls, studies, chosen=()):
        """Assess the candidates of studies.

        Parameters
        ----------
        studies : list of StudyAttributes
        chosen : iterable of Candidate, optional
            Candidates to assess in addition to those that are found.

        Returns
        -------
        list of list of Assessment
            For each study, the best first.
        """
        return list(cls.iter_assessments(studies, chosen))

    @classmethod
    @without_check_access
    def iter_assessments(cls, studies, chosen=()):
        """Assess the candidates of one study after the other.

        They are searched at once.  That takes little memory; all of the
        assessments of a thousand studies take much.

        Parameters
        ----------
        studies : list of StudyAttributes
        chosen : iterable of Candidate, optional
            Candidates to assess in addition to those that are found.

        Returns
        -------
        iterator of list of Assessment
            As from `assessments`.
        """
        configuration = cls(1)
        issuers = frozenset(filter(None, map(
                    str.strip, (configuration.issuers or '').splitlines())))
        found = find_candidates(studies, issuers, configuration.order_window)
        window = configuration.date_window
        last = LastPerson()
        return (
            assess(study, [*candidates, *chosen], window, issuers, last)
            for study, candidates in zip(studies, found))
