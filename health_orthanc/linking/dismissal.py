# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dismissal rules for studies without a patient"""

import json
from collections import defaultdict

from sql import Literal, Null

from trytond.i18n import gettext
from trytond.model import (
    DeactivableMixin, ModelSQL, ModelView, fields, sequence_ordered)
from trytond.pool import Pool
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import Transaction, without_check_access

from ..common.access import GuardedMixin
from ..common.exceptions import DismissalRuleValidationError
from ..core.matching.wildcards import is_specific, matches_any
from .link import has_match

__all__ = ['DismissalRule']

_PATTERNS = ['patient_id', 'station']


class DismissalRule(
        GuardedMixin, sequence_ordered(), DeactivableMixin, ModelSQL,
        ModelView):
    """Dismissal Rule

    Recognizes studies without a patient by their patient ID and station.
    Studies that match a patient or an order are never dismissed by a rule.
    """
    __name__ = 'gnuhealth.imaging_orthanc.dismissal_rule'
    _rec_name = 'reason'

    patient_id = fields.Char(
        "Patient ID", size=64,
        help="Pattern for the patient ID in the images. * matches any "
        "characters and ? matches one character, for example PHANTOM*.")
    station = fields.Char(
        "Station", size=64,
        help="Pattern for the station name or the AE title of the modality, "
        "with the same wildcards. If a patient ID is entered as well, both "
        "must match.")
    reason = fields.Char(
        "Reason", required=True,
        help="Why these studies belong to no patient. Recorded in their "
        "history.")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._buttons['apply'] = {}

    @classmethod
    def validate_fields(cls, rules, field_names):
        super().validate_fields(rules, field_names)
        if field_names and field_names.isdisjoint(_PATTERNS):
            return
        for rule in rules:
            rule.check_patterns()

    def check_patterns(self):
        """Check that the rule is specific enough.

        Raises
        ------
        DismissalRuleValidationError
            It has no pattern, or one that matches nearly everything.
        """
        patterns = [p for p in (self.patient_id, self.station) if p]
        if not patterns:
            raise DismissalRuleValidationError(
                gettext('health_orthanc.msg_dismissal_rule_empty'))
        for pattern in patterns:
            if not is_specific(pattern):
                raise DismissalRuleValidationError(gettext(
                        'health_orthanc.msg_dismissal_rule_pattern',
                        pattern=pattern))

    def matches(self, patient_id, stations):
        """Return whether the rule matches the tags of a study.

        Parameters
        ----------
        patient_id : str or None
        stations : set of str
            Names and AE titles.

        Returns
        -------
        bool
        """
        return (
            (not self.patient_id
                or matches_any(self.patient_id, [patient_id]))
            and (not self.station or matches_any(self.station, stations)))

    @classmethod
    @ModelView.button
    @without_check_access
    def apply(cls, rules):
        "Dismiss the unlinked studies that the rules match"
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        table = Study.__table__()
        cursor = Transaction().connection.cursor()
        cursor.execute(*table.select(table.id, where=_is_undecided(table)))
        cls.dismiss([id_ for id_, in cursor], cls.browse(rules))

    @classmethod
    @without_check_access
    def dismiss(cls, ids, rules=None):
        """Dismiss those of the studies that rules match.

        A study that matches a patient or an order is not dismissed.

        Parameters
        ----------
        ids : iterable of int
            Of studies.
        rules : list of DismissalRule, optional
            By default all.
        """
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        found = defaultdict(list)
        for id_, rule in cls.find_matching(ids, rules).items():
            found[rule].append(id_)
        for rule, matching in found.items():
            studies = [
                s for s in Study.browse(matching) if not has_match(s)]
            Study.dismiss_by_rule(studies, rule.reason)

    @classmethod
    @without_check_access
    def find_matching(cls, ids, rules=None):
        """Return which undecided studies have the tags of a rule.

        Parameters
        ----------
        ids : iterable of int
            Of studies.
        rules : list of DismissalRule, optional
            By default all.

        Returns
        -------
        dict of DismissalRule
            The first rule that matches, by the id of the study.
        """
        if rules is None:
            # Deactivated ones are found, too, by whatever matches all records
            rules = cls.search([('active', '=', True)])
        found = {}
        for sub_ids in grouped_slice(list(ids)) if rules else []:
            for id_, tags in _load_tags(list(sub_ids), rules).items():
                rule = next((r for r in rules if r.matches(*tags)), None)
                if rule:
                    found[id_] = rule
        return found


def _is_undecided(table):
    "Return the condition: a study is neither linked nor decided on"
    return (
        (table.link_status == 'unlinked') & (table.decided_by == Null)
        & (table.patient == Null) & (table.imaging_test == Null)
        & ((table.restored == Null) | (table.restored == Literal(False))))


def _load_tags(ids, rules):
    "Return patient ID and stations of undecided studies, by their ids"
    pool = Pool()
    study = pool.get('gnuhealth.imaging_orthanc.study').__table__()
    series = pool.get('gnuhealth.imaging_orthanc.study_series').__table__()
    cursor = Transaction().connection.cursor()
    with_stations = any(r.station for r in rules)
    cursor.execute(*study.select(
            study.id, study.patient_id,
            study.notified_facts if with_stations else Literal(None),
            where=reduce_ids(study.id, ids) & _is_undecided(study)))
    found = {
        id_: (patient_id, _stations(notified))
        for id_, patient_id, notified in cursor}
    if found and with_stations:
        cursor.execute(*series.select(
                series.study, series.station_name,
                where=reduce_ids(series.study, list(found))
                & (series.station_name != Null)))
        for id_, station in cursor:
            found[id_][1].add(station)
    return found


def _stations(notified):
    "Return the station names and AE titles that the plugin has reported"
    series = json.loads(notified).get('Series') if notified else []
    names = [
        s.get(name) for s in series or [] if isinstance(s, dict)
        for name in ['StationName', 'PerformedStationAETitle']]
    return {name for name in names if isinstance(name, str)}
