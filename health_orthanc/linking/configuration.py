# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Matching configuration: thresholds and windows"""

import datetime as dt

from trytond.model import ModelSingleton, ModelSQL, ModelView, fields
from trytond.transaction import without_check_access

from ..common.access import GuardedMixin
from ..core.matching.decisions import BOUNDS, Thresholds, decide
from ..core.matching.score import DATE_WINDOW, WIDEST_DATE_WINDOW, assess
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
        "Least Score", 'review_score',
        "Studies are proposed for review from this score on. Below it they "
        "stay unlinked. What is linked as certain always has 100.")
    margin = _threshold(
        "Margin", 'margin',
        "By how much the best must be better than any other patient or order "
        "to be linked as certain.")
    order_identity = _threshold(
        "Agreeing with an Order", 'order_identity',
        "How many of PUID, name, birth date and sex must be equal to link "
        "studies to the order whose numbers they have.")
    patient_identity = _threshold(
        "Agreeing without an Order", 'patient_identity',
        "How many of PUID, name, birth date and sex must be equal to link "
        "studies to the patient only.")
    candidates = _threshold(
        "Candidates", 'candidates',
        "How many are shown to choose from.")
    date_window = _between(
        fields.TimeDelta, "Date Window", 'date_window', dt.timedelta(),
        WIDEST_DATE_WINDOW,
        "How far the date of a study may be from that of its step to agree.")
    order_window = _between(
        fields.TimeDelta, "Order Window", 'order_window', dt.timedelta(1),
        _LONGEST_ORDER_WINDOW,
        "How far the date of a study without the numbers of an order may be "
        "from that of an order to be proposed for it.")
    issuers = fields.Text(
        "Issuers of the PUID",
        help="What images may name as issuer of the patient ID for it to be "
        "taken for the PUID, one a line: other hospitals may use the same "
        "IDs for other patients. Without any, all are; images that name no "
        "issuer always are.")

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
        configuration = cls(1)
        thresholds = Thresholds(**{
                name: getattr(configuration, name) for name in BOUNDS})
        return [
            decide(assessments, thresholds)
            for assessments in cls.assessments(studies)]

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
        configuration = cls(1)
        issuers = frozenset(filter(None, map(
                    str.strip, (configuration.issuers or '').splitlines())))
        found = find_candidates(studies, issuers, configuration.order_window)
        return [
            assess(
                study, [*candidates, *chosen], configuration.date_window,
                issuers)
            for study, candidates in zip(studies, found)]
