# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patient, order and result of a study"""

import datetime as dt

from sql import Literal, Null
from sql.conditionals import Case, Coalesce
from sql.operators import Concat

from trytond.i18n import gettext
from trytond.model import Index, ModelView, fields
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Bool, Eval, If
from trytond.transaction import without_check_access

from ..common.access import find_readable, rule_query
from ..common.domains import boolean_domain
from ..common.related import name_domain
from .history import CONFIRMED
from .link import match_due
from .review import ReviewMixin
from .unconfirmed import acknowledge, find_withheld

__all__ = ['Study']


class Study(ReviewMixin, metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging_orthanc.study'
    _hidden_fields = frozenset({'decisions', 'notified_facts'})
    _visual_depends = frozenset({'link_status'})
    _editable_fields = frozenset({
            'patient', 'imaging_test', 'request', 'merge_comment'})

    patient = fields.Many2One(
        'gnuhealth.patient', "Patient", ondelete='RESTRICT',
        help="The patient in GNU Health to whom the study is linked.")
    gnuhealth_patient_name = fields.Function(
        fields.Char("Linked Patient"), 'get_gnuhealth_patient_name',
        searcher='search_gnuhealth_patient_name')
    patient_lines = fields.Function(
        fields.Text(
            "Patient",
            help="The linked patient, otherwise the one whom the images name. "
            "If the images name the linked patient differently, both."),
        'get_patient_lines')
    candidate_lines = fields.Function(
        fields.Text(
            "Candidate",
            help="The patient with the highest score, with the PUID and birth "
            "date that the images can be compared with."),
        'get_candidate_lines')
    imaging_test = fields.Many2One(
        'gnuhealth.imaging.test.result', "Result", ondelete='SET NULL',
        domain=[
            If(Bool(Eval('patient')),
                ('patient', '=', Eval('patient', -1)),
                ()),
            ])
    request = fields.Many2One(
        'gnuhealth.imaging.test.request', "Order", ondelete='SET NULL',
        domain=[
            If(Bool(Eval('patient')),
                ('patient', '=', Eval('patient', -1)),
                ()),
            ],
        help="The order of the images. Linking a study completes the steps of "
        "its order.")
    further_orders = fields.One2Many(
        'gnuhealth.imaging_orthanc.study.order', 'study', "Further Orders",
        readonly=True,
        states={'invisible': ~Bool(Eval('further_orders'))},
        help="Other orders of the patient that these images answer. Use "
        "Review to change them.")
    settled_result = fields.Many2One(
        'gnuhealth.imaging.test.result', "Result of Order", readonly=True,
        ondelete='SET NULL',
        help="The imaging result of the order of this study.")
    notified_facts = fields.Text("Notified Data", readonly=True, strip=False)
    matched_at = fields.DateTime(
        "Matched At", readonly=True,
        help="The time when the study was last matched with patients and "
        "orders.")
    merge_id = fields.Char(
        "Merge ID", readonly=True,
        help="The merge ID of the order of this study.")
    merge_comment = fields.Char("Merge Comment")

    today = fields.Function(
        fields.Boolean("Today"), 'get_today', searcher='search_today')

    key_image = fields.Many2One(
        'ir.attachment', "Key Image", readonly=True, ondelete='SET NULL',
        help="Attached automatically to the result or, without a result, to "
        "the patient.")
    key_image_at = fields.DateTime(
        "Key Image Date", readonly=True,
        help="The time when the key image was attached or found not to exist.")
    key_image_tried_at = fields.DateTime(
        "Last Key Image Attempt", readonly=True)

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._buttons['show_unconfirmed'] = {
            'invisible': Eval('link_status') != 'auto_unsure',
            'depends': ['link_status'],
            }
        table = cls.__table__()
        cls._sql_indexes.update({
                Index(
                    table, (table.server, Index.Equality()),
                    (table.orthanc_patient, Index.Range()),
                    where=table.matched_at == Null),
                # By their ids, the queue is mostly searched in vain: without
                # this one, among all studies
                Index(
                    table, (table.id, Index.Range()),
                    where=table.matched_at == Null),
                Index(
                    table, (table.patient, Index.Range()),
                    where=(table.matched_at == Null)
                    & (table.patient != Null)),
                # Those that wait for their key image
                Index(
                    table, (table.server, Index.Range()),
                    (table.key_image_tried_at,
                        Index.Range(order='ASC NULLS FIRST')),
                    (table.id, Index.Range()),
                    where=(table.key_image_at == Null)
                    & table.link_status.in_(CONFIRMED)
                    & ((table.historical == Literal(False))
                        | (table.historical == Null))),
                # The queues of the review, and what is in none
                Index(
                    table, (table.link_status, Index.Equality()),
                    *cls._listed(table),
                    where=table.link_status.in_(['auto_unsure', 'unlinked'])
                    & ((table.historical == Literal(False))
                        | (table.historical == Null))
                    & (table.missing_since == Null)),
                Index(
                    table, (table.link_status, Index.Equality()),
                    *cls._listed(table),
                    where=table.link_status.in_(
                        ['auto_unsure', 'unlinked', 'dismissed'])),
                })

    @classmethod
    def get_today(cls, studies, name):
        start, end = Pool().get('gnuhealth.institution').local_today()
        return {
            s.id: bool(s.date) and start <= dt.datetime.combine(
                s.date, s.study_time or dt.time()) < end
            for s in studies}

    @classmethod
    def search_today(cls, name, clause):
        """Return the domain of the studies of today.

        The client evaluates `Date()` in the time zone of its machine, or in
        UTC, but the date of a study is that of the institution.
        """
        start, end = Pool().get('gnuhealth.institution').local_today()
        days = [
            start.date() + dt.timedelta(number)
            for number in range((end.date() - start.date()).days + 1)]
        domain = ['OR']
        for day in days:
            times = [
                ('study_time', operator, time.time())
                for operator, time in [('>=', start), ('<', end)]
                if time.date() == day and time.time() != dt.time()]
            if times or start.date() <= day < end.date():
                domain.append([('date', '=', day), *times])
        return boolean_domain(cls, clause, domain)

    @classmethod
    def search_rec_name(cls, name, clause):
        return [*super().search_rec_name(name, clause),
            ('gnuhealth_patient_name', *clause[1:])]

    @classmethod
    @without_check_access
    def get_gnuhealth_patient_name(cls, studies, name):
        studies = cls.browse(studies)
        readable = _find_readable(s.patient for s in studies)
        return {
            s.id: s.patient.rec_name if s.patient in readable else None
            for s in studies}

    @classmethod
    @without_check_access
    def get_patient_lines(cls, studies, name):
        lang = Pool().get('ir.lang').get()
        studies = cls.browse(studies)
        readable = _find_readable(s.patient for s in studies)
        return {
            s.id: '\n'.join(filter(None, [
                        # The images name the patient, too
                        s._describe_identity(lang)
                        if not s.patient or s.patient in readable else None,
                        *s._list_marks()]))
            for s in studies}

    def _describe_identity(self, lang):
        named = self.patient_display_name
        if not self.patient:
            return _identity_lines(
                lang, [named], self.patient_id, self.patient_birth_date)
        names = [self.patient.rec_name]
        if named and named.casefold() != names[0].casefold():
            names.append(gettext(
                    'health_orthanc.msg_named_in_images', name=named))
        return _identity_lines(
            lang, names, self.patient.puid, self.patient.party.dob)

    def _list_marks(self):
        "Yield what everybody has to know who looks for the images"
        if self.missing_since:
            yield gettext('health_orthanc.msg_study_missing')
        if self.quarantined:
            yield gettext('health_orthanc.msg_study_in_quarantine')

    @classmethod
    @without_check_access
    def get_candidate_lines(cls, studies, name):
        lang = Pool().get('ir.lang').get()
        studies = cls.browse(studies)
        readable = _find_readable(s.candidate for s in studies)
        return {
            s.id: _identity_lines(
                lang, [s.candidate.rec_name], s.candidate.puid,
                s.candidate.party.dob) if s.candidate in readable else None
            for s in studies}

    @staticmethod
    def order_patient_lines(tables):
        "Order by the first line: the linked patient, or who is in the images"
        pool = Pool()
        table, _ = tables[None]
        if 'named_patient' not in tables:
            patient = pool.get('gnuhealth.patient').__table__()
            party = pool.get('party.party').__table__()
            linked = table.patient == patient.id
            readable = rule_query('gnuhealth.patient')
            if readable is not None:
                linked &= patient.id.in_(readable)
            tables['named_patient'] = {
                None: (patient, linked),
                'party': {None: (party, patient.party == party.id)},
                }
        party, _ = tables['named_patient']['party'][None]
        family = Coalesce(Concat(party.lastname, ', '), '')
        return [Coalesce(
                Concat(family, party.name),
                Case((table.patient == Null, table.patient_display_name)))]

    @classmethod
    def search_gnuhealth_patient_name(cls, name, clause):
        return [name_domain('patient', 'gnuhealth.patient', *clause[1:])]

    @fields.depends(
        'patient', '_parent_patient.id', 'imaging_test',
        '_parent_imaging_test.patient', 'request', '_parent_request.patient')
    def on_change_patient(self):
        if self.imaging_test and self.imaging_test.patient != self.patient:
            self.imaging_test = None
        if self.request and self.request.patient != self.patient:
            self.request = None

    @fields.depends(
        'imaging_test', 'patient', '_parent_patient.id',
        '_parent_imaging_test.patient')
    def on_change_imaging_test(self):
        if self.imaging_test:
            self.patient = self.imaging_test.patient

    @fields.depends(
        'request', 'patient', '_parent_patient.id', 'imaging_test',
        '_parent_request.patient', '_parent_imaging_test.request',
        '_parent_request.id')
    def on_change_request(self):
        if self.request:
            self.patient = self.request.patient
            if self.imaging_test and self.imaging_test.request != self.request:
                self.imaging_test = None

    @classmethod
    def find_withheld(cls, studies):
        return super().find_withheld(studies) | find_withheld(studies)

    @classmethod
    @ModelView.button
    def show_unconfirmed(cls, studies):
        "Show the images of studies that may belong to somebody else"
        cls.check_read(studies)
        acknowledge(studies)

    @classmethod
    def match_again(cls, studies):
        "Match those of the studies that are in the queue (task queue)"
        match_due(ids=[s.id for s in studies])

    @classmethod
    def assign(cls, studies, patient, former=None):
        """Link studies to a patient by a decision of the current user.

        Studies that a user has decided on keep their patient, unless it is
        `former`.  Studies in the result of another patient keep theirs, too.

        Parameters
        ----------
        studies : list of Study
        patient : Patient or None
        former : Patient, optional
            The patient that was chosen by mistake.
        """
        studies = [
            s for s in studies
            if s.patient != patient and s._may_be_assigned(former)
            and not (s.imaging_test and s.imaging_test.patient != patient)]
        cls.write(studies, {'patient': patient.id if patient else None})

    def _may_be_assigned(self, former):
        if self.link_status == 'dismissed':
            return False
        if self.decided_by or self.link_status == 'manual':
            return bool(former) and self.patient == former
        return True

    @classmethod
    def _visual(cls):
        return If(Bool(Eval('missing_since')), 'muted',
            If(Eval('link_status') == 'auto_unsure', 'warning', ''))


def _find_readable(patients):
    "Return those of the patients whom the current user may read"
    patients = {p for p in patients if p}
    ids = find_readable('gnuhealth.patient', {p.id for p in patients})
    return {p for p in patients if p.id in ids}


def _identity_lines(lang, names, ident, birth_date):
    return '\n'.join(filter(None, [*names, ' · '.join(filter(None, [
                        ident, birth_date and lang.strftime(birth_date)]))]))
