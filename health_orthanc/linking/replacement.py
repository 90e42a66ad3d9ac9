# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patients that were replaced by others (Tryton's *Replace Party*)

Tryton moves addresses, contacts and identifiers of the party.  Imaging orders,
results and the links of studies follow it here; other medical records stay.
"""

from sql import Null

from trytond.i18n import gettext
from trytond.model import Index, ModelSQL, ModelView, fields
from trytond.pool import Pool
from trytond.pyson import Bool, Eval
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import Transaction, without_check_access

from ..common.access import ReadonlyMixin
from ..common.exceptions import ReplacementError
from ..common.rows import fetch_rows
from ..common.transaction import now
from ..core.matching.attributes import Candidate
from ..core.matching.score import Veto
from .attributes import patient_attributes
from .candidates import study_attributes
from .explanations import describe_vetoes
from .history import CONFIRMED
from .link import match_orders
from .moves import hold_studies, joined, move_records, undo_moves
from .patient_fields import STUDY

__all__ = ['PatientReplacement']

_ORTHANC_PATIENT = 'gnuhealth.orthanc.patient'
# Records that are compared with a patient at once
_BATCH = 100


class PatientReplacement(ReadonlyMixin, ModelSQL, ModelView):
    """Replaced Patient

    What has followed a patient to the replacement, and can be moved back.
    """
    __name__ = 'gnuhealth.imaging_orthanc.replacement'
    _kept_patients = frozenset({
            'source', 'target', 'patient_from', 'patient_to'})

    source = fields.Many2One(
        'party.party', "Replaced Person", required=True, readonly=True,
        ondelete='CASCADE')
    target = fields.Many2One(
        'party.party', "Replacement", required=True, readonly=True,
        ondelete='CASCADE')
    patient_from = fields.Many2One(
        'gnuhealth.patient', "From Patient", readonly=True,
        ondelete='SET NULL')
    patient_to = fields.Many2One(
        'gnuhealth.patient', "To Patient", readonly=True,
        ondelete='SET NULL', states={'invisible': ~Bool(Eval('patient_to'))})
    at = fields.DateTime("Date", required=True, readonly=True)
    user = fields.Many2One(
        'res.user', "User", readonly=True, ondelete='RESTRICT')
    state = fields.Selection([
            ('waiting', "Waiting for Patient Record"),
            ('moved', "Records Moved"),
            ('undone', "Undone"),
            ], "State", required=True, readonly=True, sort=False,
        help="While the replacement has no patient record, the links of the "
        "studies wait for a review.")
    undone_at = fields.DateTime(
        "Undone At", readonly=True,
        states={'invisible': ~Bool(Eval('undone_at'))})
    undone_by = fields.Many2One(
        'res.user', "Undone By", readonly=True, ondelete='RESTRICT',
        states={'invisible': ~Bool(Eval('undone_by'))})
    left_records = fields.Text(
        "Not Moved Back", readonly=True,
        states={'invisible': ~Bool(Eval('left_records'))},
        help="These records were changed since. Check to whom they belong.")
    moved_records = fields.Function(
        fields.Text("Moved Records"), 'get_moved_records')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._order = [('id', 'DESC')]
        cls._sql_indexes.update({
                Index(table, (table.source, Index.Equality())),
                Index(
                    table, (table.id, Index.Range()),
                    where=table.state == 'waiting'),
                })
        cls._buttons['undo'] = {
            'invisible': Eval('state') == 'undone',
            'depends': ['state'],
            }

    def get_rec_name(self, name):
        return f'{self.source.rec_name} → {self.target.rec_name}'

    @classmethod
    def search_rec_name(cls, name, clause):
        _, operator, value = clause
        bool_op = 'AND' if operator.startswith(('!', 'not ')) else 'OR'
        return [bool_op,
            ('source.rec_name', operator, value),
            ('target.rec_name', operator, value)]

    @without_check_access
    def get_moved_records(self, name):
        pool = Pool()
        Move = pool.get('gnuhealth.imaging_orthanc.replacement.move')
        get_name = pool.get('ir.model').get_name
        counts = {}
        for model, id_, _, after in Move.load(self):
            if 'candidate' not in after:
                counts.setdefault(model, set()).add(id_)
        return '\n'.join(sorted(
                f'{get_name(model)}: {len(ids)}'
                for model, ids in counts.items()))

    # Following

    @classmethod
    @without_check_access
    def follow(cls, parties):
        """Move the imaging records of parties that were replaced.

        If the replacement has no patient record, the links of the studies wait
        for a review instead.

        Parameters
        ----------
        parties : iterable of int
        """
        Party = Pool().get('party.party')
        for party in Party.browse(list(parties)):
            patient = _patient_of(party.id)
            if party.replaced_by and patient:
                cls._of(party, patient)._follow()
        cls.resume()

    @classmethod
    @without_check_access
    def resume(cls):
        "Move records whose replacement has got a patient record since"
        for replacement in cls.search([('state', '=', 'waiting')]):
            if _patient_of(_last_replacement(replacement.source)):
                replacement._release()
                replacement._follow()

    @classmethod
    def _of(cls, party, patient):
        "Return the replacement of a party, which is created if it is new"
        known = cls.search([
                ('source', '=', party.id),
                ('target', '=', party.replaced_by.id),
                ('state', '!=', 'undone'),
                ], limit=1)
        if known:
            return known[0]
        replacement, = cls.create([{
                    'source': party.id,
                    'target': party.replaced_by.id,
                    'patient_from': patient,
                    'at': now(),
                    'user': Transaction().user or None,
                    'state': 'waiting',
                    }])
        return replacement

    def _follow(self):
        last = _last_replacement(self.source)
        former, new = self.patient_from.id, _patient_of(last)
        if not new:
            self._wait(former)
        elif new != former:
            self._move((former, new), (self.source.id, last))
            Patient = Pool().get('gnuhealth.patient')
            Patient.refresh_identity([former, new])

    def _wait(self, former):
        pool = Pool()
        Study = pool.get(STUDY)
        Decision = pool.get('gnuhealth.imaging_orthanc.study.decision')
        studies = Study.search([('patient', '=', former)])
        before = Decision.snapshot(studies)
        self._store(hold_studies([s.id for s in studies]))
        self._note(before, studies, gettext(
                'health_orthanc.msg_replacement_waiting', **self._names()))

    def _release(self):
        "End the wait of studies that nobody has decided on"
        pool = Pool()
        Study = pool.get(STUDY)
        Move = pool.get('gnuhealth.imaging_orthanc.replacement.move')
        Decision = pool.get('gnuhealth.imaging_orthanc.study.decision')
        moves = Move.load(self)
        studies = Study.browse([id_ for _, id_, _, _ in moves])
        before = Decision.snapshot(studies)
        undo_moves(moves)
        Move.forget(self)
        self._note(before, studies, gettext(
                'health_orthanc.msg_replacement_registered',
                **self._names()))

    def _move(self, patients, parties):
        pool = Pool()
        Study = pool.get(STUDY)
        OrthancPatient = pool.get(_ORTHANC_PATIENT)
        Decision = pool.get('gnuhealth.imaging_orthanc.study.decision')
        former, new = patients
        studies = Study.search([('patient', '=', former)])
        known = OrthancPatient.search([('patient', '=', former)])
        attributes = {
            **{(STUDY, s.id): study_attributes(s) for s in studies
                if s.link_status in CONFIRMED},
            **{(_ORTHANC_PATIENT, p.id): p.attributes for p in known}}
        confirmed = _vetoes(attributes, former)
        before = Decision.snapshot(studies)
        moves = move_records(patients, parties)
        # The order that a study names must be the replacement's by now
        contradictions = {}
        for record, vetoes in _vetoes(attributes, new).items():
            if attributes[record].patient_id == self.source.ref:
                # This is an identifier of the replacement now
                vetoes = vetoes - {Veto.PATIENT_ID}
            if vetoes - confirmed[record]:
                contradictions[record] = vetoes - confirmed[record]
        moves += hold_studies(
            [id_ for model, id_ in contradictions if model == STUDY])
        self._store(joined(_without(moves, {
                        record for record in contradictions
                        if record[0] == _ORTHANC_PATIENT})))
        self.__class__.write(
            [self], {'state': 'moved', 'patient_to': new})
        self._note_moves(before, studies, contradictions)

    def _note_moves(self, before, studies, contradictions):
        reason = gettext(
            'health_orthanc.msg_replacement_moved', **self._names())
        reasons = {}
        for study in studies:
            vetoes = contradictions.get((STUDY, study.id), set())
            text = describe_vetoes(sorted(vetoes, key=lambda v: v.value))
            reasons.setdefault(text, []).append(study)
        for text, some in reasons.items():
            self._note(before, some, f'{reason}\n{text}'.strip())

    def _names(self):
        return {
            'source': self.source.rec_name,
            'target': self.target.rec_name,
            }

    def _store(self, moves):
        Move = Pool().get('gnuhealth.imaging_orthanc.replacement.move')
        Move.store(self, moves)

    @staticmethod
    def _note(before, studies, reason, event='replaced'):
        Decision = Pool().get('gnuhealth.imaging_orthanc.study.decision')
        Decision.record(
            before, studies, user=Transaction().user or None, event=event,
            reason=reason)

    # Undoing

    @classmethod
    @ModelView.button
    @without_check_access
    def undo(cls, replacements):
        """Move records back, and part the persons again.

        What was changed since is left, and listed.

        Raises
        ------
        ReplacementError
            The replacement was itself replaced since.
        """
        for replacement in cls.browse(replacements):
            if replacement.state != 'undone':
                replacement._check_last()
                replacement._undo()

    def _check_last(self):
        later = self.search([
                ('patient_from', '=', self.patient_to.id),
                ('state', '!=', 'undone'),
                ], limit=1) if self.patient_to else []
        if later:
            raise ReplacementError(gettext(
                    'health_orthanc.msg_replacement_later',
                    replacement=later[0].rec_name))

    def _undo(self):
        pool = Pool()
        Study = pool.get(STUDY)
        Move = pool.get('gnuhealth.imaging_orthanc.replacement.move')
        Decision = pool.get('gnuhealth.imaging_orthanc.study.decision')
        Patient = pool.get('gnuhealth.patient')
        patients = None
        if self.patient_to:
            patients = (self.patient_from.id, self.patient_to.id)
        moves = Move.load(self)
        studies = Study.search([('patient', 'in', list(
                        patients or [self.patient_from.id]))])
        before = Decision.snapshot(studies)
        moved, left = undo_moves(moves, patients)
        self._note(before, studies, gettext(
                'health_orthanc.msg_replacement_undone', **self._names()),
            'replacement_undone')
        self._part()
        again = _automatic_studies(self, moved)
        self.__class__.write([self], {
                'state': 'undone',
                'undone_at': now(),
                'undone_by': Transaction().user or None,
                'left_records': _describe_records(left - {
                        (STUDY, id_) for id_ in again}) or None,
                })
        Patient.refresh_identity(patients or [self.patient_from.id])
        match_orders(again)

    def _part(self):
        "Let the replaced person be one of its own again"
        Party = Pool().get('party.party')
        source = Party(self.source.id)
        if source.replaced_by == self.target:
            Party.write([source], {'replaced_by': None, 'active': True})


def _patient_of(party):
    "Return the id of the patient record of a party, or None"
    patient = Pool().get('gnuhealth.patient').__table__()
    rows = fetch_rows(patient.select(
            patient.id, where=patient.party == party))
    return rows[0][0] if rows else None


def _last_replacement(party):
    "Return the id of the party that stands for a replaced one"
    seen = {party}
    while party.replaced_by and party.replaced_by not in seen:
        party = party.replaced_by
        seen.add(party)
    return party.id


def _vetoes(attributes, patient):
    """Return what contradicts a patient.

    Parameters
    ----------
    attributes : dict
        StudyAttributes, by the record.
    patient : int

    Returns
    -------
    dict of set of Veto
    """
    Configuration = Pool().get('gnuhealth.orthanc.matching.configuration')
    chosen = Candidate(patient_attributes([patient])[patient])
    found = {}
    for records in grouped_slice(list(attributes), _BATCH):
        records = list(records)
        for record, assessments in zip(records, Configuration.assessments(
                    [attributes[record] for record in records], [chosen])):
            found[record] = next(
                set(a.vetoes) for a in assessments if a.candidate is chosen)
    return found


def _without(moves, records):
    "Move records back, and return the other moves"
    undo_moves([move for move in moves if move[:2] in records])
    return [move for move in moves if move[:2] not in records]


def _automatic_studies(replacement, moved):
    """Return the studies to match again, without the digests of their links.

    Their links may rest on the PUID of the person who was replaced.
    """
    pool = Pool()
    study = pool.get(STUDY).__table__()
    key = pool.get('gnuhealth.imaging_orthanc.study_key').__table__()
    patients = [
        p.id for p in [replacement.patient_from, replacement.patient_to] if p]
    own = [id_ for model, id_ in moved if model == STUDY]
    where = study.patient_id == replacement.source.ref
    if own:
        where |= reduce_ids(study.id, own)
    ids = [id_ for id_, in fetch_rows(study.select(
                study.id, where=study.patient.in_(patients) & where
                & (study.decided_by == Null)
                & study.link_status.in_(['auto_certain', 'auto_unsure'])))]
    cursor = Transaction().connection.cursor()
    for some in grouped_slice(ids):
        cursor.execute(*key.delete(where=reduce_ids(key.study, some)))
    return ids


# Records that are named when they were left
_NAMED = 100


def _describe_records(records):
    "Return a line for each record"
    pool = Pool()
    get_name = pool.get('ir.model').get_name
    lines = [
        f'{get_name(model)} {id_}: {pool.get(model)(id_).rec_name}'
        for model, id_ in sorted(records)[:_NAMED]]
    if len(records) > _NAMED:
        lines.append(gettext(
                'health_orthanc.msg_replacement_more',
                count=len(records) - _NAMED))
    return '\n'.join(lines)
