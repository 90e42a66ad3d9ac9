# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Notices to the users who have seen images of the wrong patient"""

from trytond.i18n import gettext
from trytond.model import Index, ModelSQL, ModelView, Unique, fields
from trytond.pool import PoolMeta
from trytond.pyson import Bool, Eval, If
from trytond.transaction import Transaction, without_check_access

from ..common.access import ReadonlyMixin
from ..common.exceptions import WrongPatientError
from ..common.transaction import now

__all__ = ['Rule', 'WrongPatientNotice']

# What a notice says, by the state of what it is about
_MESSAGES = {
    'marked': 'msg_notice_marked',
    'moving': 'msg_notice_marked',
    'moved': 'msg_notice_moved',
    'undoing': 'msg_notice_marked',
    'confirmed': 'msg_notice_moved',
    'released': 'msg_notice_released',
    }


class WrongPatientNotice(ReadonlyMixin, ModelSQL, ModelView):
    """Notice: Wrong Patient

    Tells a user about a study whose images they have seen.
    """
    __name__ = 'gnuhealth.imaging_orthanc.wrong_patient.notice'

    wrong_patient = fields.Many2One(
        'gnuhealth.imaging_orthanc.wrong_patient', "Study of Wrong Patient",
        required=True, readonly=True, ondelete='CASCADE')
    user = fields.Many2One(
        'res.user', "User", required=True, readonly=True, ondelete='CASCADE')
    told_at = fields.DateTime("Date", required=True, readonly=True)
    read_at = fields.DateTime("Read At", readonly=True)
    own = fields.Function(
        fields.Boolean("Own", help="The notice is for the current user."),
        'get_own')
    study_name = fields.Function(fields.Char("Study"), 'get_texts')
    message = fields.Function(fields.Text("Message"), 'get_texts')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints += [
            ('user_unique', Unique(table, table.wrong_patient, table.user),
                'health_orthanc.msg_notice_unique'),
            ]
        cls._sql_indexes.add(Index(table, (table.user, Index.Equality())))
        cls._order = [('read_at', 'DESC NULLS FIRST'), ('id', 'DESC')]
        cls._buttons.update({
                'mark_read': {
                    'invisible': (
                        Bool(Eval('read_at')) | ~Eval('own', False)),
                    'depends': ['read_at', 'own'],
                    },
                })

    def get_own(self, name):
        return self.user.id == Transaction().user

    def get_rec_name(self, name):
        return self.study_name

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/tree', 'visual', If(Bool(Eval('read_at')), '', 'danger'),
                ['read_at']),
            ]

    @classmethod
    @without_check_access
    def get_texts(cls, notices, names):
        notices = cls.browse(notices)
        texts = {
            'study_name': lambda n: n.wrong_patient.study.rec_name,
            'message': lambda n: n.wrong_patient_text(),
            }
        return {
            name: {n.id: texts[name](n) for n in notices} for name in names}

    def wrong_patient_text(self):
        "Return what the user is told"
        wrong = self.wrong_patient

        def name(record):
            return record.rec_name if record else '–'
        return gettext(
            f'health_orthanc.{_MESSAGES[wrong.state]}',
            study=wrong.study.rec_name, patient=name(wrong.patient_from),
            right=name(wrong.patient_to), series=(
                wrong.series_names or '').replace('\n', ', ') or '–',
            reason=wrong.reason)

    @classmethod
    @without_check_access
    def tell(cls, wrong, users):
        """Show users a notice, again if they have read one.

        Parameters
        ----------
        wrong : WrongPatient
        users : set of int
        """
        known = cls.search([('wrong_patient', '=', wrong.id)])
        cls.write([n for n in known if n.user.id in users], {
                'told_at': now(), 'read_at': None})
        cls.create([{
                    'wrong_patient': wrong.id,
                    'user': user,
                    'told_at': now(),
                    } for user in sorted(users - {n.user.id for n in known})])

    @classmethod
    @ModelView.button
    def mark_read(cls, notices):
        """Record that the user has read notices.

        Raises
        ------
        WrongPatientError
            A notice is for somebody else, who would not be told any more.
        """
        cls.check_read(notices)
        for notice in notices:
            if notice.user.id != Transaction().user:
                raise WrongPatientError(gettext(
                        'health_orthanc.msg_notice_of_other',
                        user=notice.user.rec_name))
        with without_check_access():
            cls.write(cls.browse(notices), {'read_at': now()})


class Rule(metaclass=PoolMeta):
    __name__ = 'ir.rule'

    @classmethod
    def _get_context(cls, model_name):
        context = super()._get_context(model_name)
        if model_name == WrongPatientNotice.__name__:
            context['user_id'] = Transaction().user
        return context

    @classmethod
    def _get_cache_key(cls, model_name):
        key = super()._get_cache_key(model_name)
        if model_name == WrongPatientNotice.__name__:
            key = (*key, Transaction().user)
        return key
