# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people decide of studies, and what rules do."""

import datetime as dt
import json
from unittest.mock import patch

from trytond.exceptions import UserError
from trytond.i18n import gettext
from trytond.pool import Pool
from trytond.pyson import PYSONDecoder, PYSONEncoder
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction

from .tools import (
    PATIENT, STUDY, OrthancTestCase, create_order, create_orthanc_patient,
    create_patient, create_series, create_server, create_study,
    installed_viewer, match_study, record_id)

RULE = 'gnuhealth.imaging_orthanc.dismissal_rule'
BIRTH = dt.date(1964, 8, 12)
OTHER_BIRTH = dt.date(1990, 1, 31)


class ReviewTestCase(OrthancTestCase):
    "Studies of one patient, whom the images name as they should"

    def patient(self, **values):
        return create_patient(**{'dob': BIRTH, **values})

    def study(self, patient, **values):
        "Return a study whose images name the patient"
        party = patient.party
        server = create_server(start_date=dt.date(2026, 1, 1))
        study = create_study(server, **{
                'patient_id': party.ref,
                'patient_name': f'{party.lastname}^{party.name}',
                'patient_birth_date': party.dob,
                'patient_sex': 'F',
                **values})
        create_series(study, modality='CT')
        return study

    def suggested(self, patient):
        "Return a study that a machine is not sure of"
        study = match_study(self.study(patient, patient_sex=None,
                patient_birth_date=dt.date(1964, 12, 8)))
        self.assertEqual(study.link_status, 'auto_unsure')
        return study

    def vetoed(self, patient):
        "Return a study in which something contradicts the patient"
        return self.study(patient, patient_birth_date=OTHER_BIRTH)


class DecisionTestCase(ReviewTestCase):

    @with_transaction()
    def test_confirm(self):
        patient = self.patient()
        study = self.suggested(patient)
        self.assertEqual(study.candidate, patient)
        self.assertEqual(study.doubt, 'difference')
        score = study.score
        study.__class__.confirm([study])
        self.assertEqual(study.link_status, 'manual')
        self.assertEqual(study.patient, patient)
        self.assertEqual(study.score, score)
        self.assertIsNone(study.doubt)
        last, first = study.decisions
        self.assertEqual(first.doubt, 'difference')
        self.assertEqual(last.user.id, Transaction().user)
        self.assertEqual(last.score, score)
        self.assertIn(gettext(
                'health_orthanc.msg_reason_day_month'), last.compared)

    @with_transaction()
    def test_another_patient_is_chosen(self):
        patient, other = self.patient(), self.patient(
            name="Erna", dob=None)
        order = create_order(other, requested=True)
        study = self.suggested(patient)
        study.__class__.link_because(study, other, order, "She says so")
        self.assertEqual(study.patient, other)
        self.assertEqual(study.request, order)
        self.assertEqual(order.state, 'done')
        self.assertEqual(study.decision_reason, "She says so")
        decision = study.decisions[0]
        self.assertEqual(decision.patient_from, patient)
        self.assertEqual(decision.reason, "She says so")

    @with_transaction()
    def test_a_machine_leaves_it(self):
        patient, other = self.patient(), self.patient(name="Erna", dob=None)
        study = self.suggested(patient)
        study.__class__.link_because(study, other, None, "She says so")
        study = match_study(study, IssuerOfPatientID='X')
        self.assertEqual(study.patient, other)
        self.assertEqual(len(study.decisions), 2)

    @with_transaction()
    def test_unlink(self):
        patient = self.patient()
        study = self.suggested(patient)
        Study = study.__class__
        for reason in [None, '', ' \n']:
            with self.assertUserError('msg_reason_required'):
                Study.unlink_because([study], reason)
        Study.unlink_because([study], " Somebody else ")
        self.assertIsNone(study.patient)
        self.assertEqual(study.link_status, 'unlinked')
        decision = study.decisions[0]
        self.assertEqual(decision.reason, "Somebody else")
        self.assertEqual(decision.patient_from, patient)
        self.assertTrue(decision.score)
        study = match_study(study, IssuerOfPatientID='X')
        self.assertIsNone(study.patient)

    @with_transaction()
    def test_who_unlinks_what_is_unlinked_says_why(self):
        study = create_study(create_server())
        study.__class__.unlink_because([study], "Nobody of ours")
        decision, = study.decisions
        self.assertEqual(decision.reason, "Nobody of ours")

    @with_transaction()
    def test_dismiss_and_restore(self):
        patient = self.patient()
        order = create_order(patient, requested=True)
        study = match_study(self.study(
                patient, study_instance_UID=order.study_instance_uid,
                date=order.date.date()))
        self.assertEqual(order.state, 'done')
        Study = study.__class__
        with self.assertUserError('msg_reason_required'):
            Study.dismiss_because([study], "")
        Study.dismiss_because([study], "For teaching")
        self.assertEqual(study.link_status, 'dismissed')
        self.assertIsNone(study.patient)
        self.assertEqual(order.state, 'requested')
        study = match_study(study, IssuerOfPatientID='X')
        self.assertEqual(study.link_status, 'dismissed')
        Study.restore([study])
        study = Study(study.id)
        self.assertEqual(study.link_status, 'auto_certain')
        self.assertEqual(study.request, order)
        self.assertIsNone(study.decision_reason)
        machine, restored, dismissed, _ = study.decisions
        self.assertEqual(restored.status_from, 'dismissed')
        self.assertEqual(restored.status_to, 'unlinked')
        self.assertEqual(restored.user.id, Transaction().user)
        self.assertIsNone(machine.user)

    @with_transaction()
    def test_a_linked_study_is_not_restored(self):
        study = self.suggested(self.patient())
        study.__class__.restore([study])
        self.assertEqual(study.link_status, 'auto_unsure')


class VetoTestCase(ReviewTestCase):
    "What contradicts is only linked by who says why"

    def by_rpc(self, study, **values):
        with Transaction().set_context(_check_access=True):
            study.__class__.write([study.__class__(study.id)], values)

    @with_transaction()
    def test_a_reason_is_needed(self):
        patient = self.patient()
        study = self.vetoed(patient)
        Study = study.__class__
        with self.assertUserError('msg_link_veto', 'typing error'):
            Study.link_because(study, patient)
        with self.assertUserError('msg_link_veto'):
            Study.link_because(study, patient, None, "  ")
        self.assertIsNone(study.patient)
        self.assertFalse(study.decisions)
        Study.link_because(study, patient, None, "The date was mistyped")
        self.assertEqual(study.patient, patient)
        self.assertEqual(study.decisions[0].reason, "The date was mistyped")

    @with_transaction()
    def test_each_contradiction(self):
        patient, other = self.patient(), self.patient(name="Erna")
        man = self.patient(name="Juan", gender='m')
        Pool().get('gnuhealth.patient').write(
            [man], {'biological_sex': 'm'})
        for study, chosen in [
                (self.vetoed(patient), patient),
                (self.study(patient), other),
                (self.study(man), man)]:
            with self.assertUserError('msg_link_veto'):
                self.by_rpc(study, patient=chosen.id)

    @with_transaction()
    def test_it_is_not_written_either(self):
        patient = self.patient()
        order = create_order(patient, requested=True)
        study = self.vetoed(patient)
        for values in [{'patient': patient.id}, {'request': order.id}]:
            with self.assertUserError('msg_link_veto'):
                self.by_rpc(study, **values)
        study.__class__.link_because(study, patient, None, "Mistyped")
        # It has been said why
        self.by_rpc(study, request=order.id)
        self.assertEqual(study.__class__(study.id).request, order)

    @with_transaction()
    def test_a_suggestion_of_long_ago_is_not_confirmed_by_writing(self):
        patient = self.patient()
        study = self.vetoed(patient)
        Study = study.__class__
        Study.write(
            [study], {'patient': patient.id, 'link_status': 'auto_unsure'})
        with self.assertUserError('msg_link_veto'):
            self.by_rpc(study, patient=patient.id)
        with self.assertUserError('msg_link_veto'):
            Study.confirm([study])

    @with_transaction()
    def test_nor_for_an_orthanc_patient(self):
        Orthanc = Pool().get(PATIENT)
        patient = self.patient()
        record = create_orthanc_patient(
            create_server(), bd=OTHER_BIRTH, sex='F')
        with Transaction().set_context(_check_access=True):
            with self.assertUserError('msg_orthanc_patient_veto'):
                Orthanc.write([record], {'patient': patient.id})
            Orthanc.write([record], {'patient': None})


class RuleTestCase(ReviewTestCase):
    "Rules dismiss what is nobody's"

    def rule(self, **values):
        rule, = Pool().get(RULE).create([{'reason': "Phantom", **values}])
        return rule

    def phantom(self, **values):
        study = create_study(create_server(), **{
                'patient_id': 'PHANTOM-7', 'patient_name': 'QA^Daily',
                **values})
        create_series(study, station_name='CT2-TEST')
        return study

    @with_transaction()
    def test_by_patient_id(self):
        self.rule(patient_id='phantom*')
        study = match_study(self.phantom())
        self.assertEqual(study.link_status, 'dismissed')
        self.assertEqual(study.decision_reason, "Phantom")
        decision, = study.decisions
        self.assertIsNone(decision.user)
        self.assertEqual(decision.reason, "Phantom")
        other = match_study(self.phantom(patient_id='XPHANTOM'))
        self.assertEqual(other.link_status, 'unlinked')

    @with_transaction()
    def test_by_station(self):
        self.rule(station='CT?-TEST', patient_id='*-7')
        self.rule(station='SERVICE_AE')
        study = match_study(self.phantom())
        self.assertEqual(study.link_status, 'dismissed')
        study = match_study(self.phantom(patient_id='PHANTOM-8'))
        self.assertEqual(study.link_status, 'unlinked')
        study = match_study(study, Series=[
                {'PerformedStationAETitle': 'SERVICE_AE'}])
        self.assertEqual(study.link_status, 'dismissed')

    @with_transaction()
    def test_what_leads_to_somebody_is_kept(self):
        self.rule(patient_id='*PHANTOM*')
        patient = self.patient(ref='PHANTOM-REGISTERED')
        order = create_order(patient, requested=True)
        for study in [
                # For certain, as a suggestion, and against a veto
                self.study(patient),
                self.suggested(patient),
                self.vetoed(patient),
                self.phantom(study_instance_UID=order.study_instance_uid),
                self.phantom(accession_number=order.accession_number),
                self.phantom(
                    patient_name='Muster^Erika', patient_birth_date=BIRTH)]:
            self.assertNotEqual(match_study(study).link_status, 'dismissed')

    @with_transaction()
    def test_restored_for_good(self):
        self.rule(patient_id='PHANTOM*')
        study = match_study(self.phantom())
        study.__class__.restore([study])
        study = match_study(study, IssuerOfPatientID='X')
        self.assertEqual(study.link_status, 'unlinked')

    @with_transaction()
    def test_applied_by_hand(self):
        study, other, decided = (
            match_study(self.phantom(patient_id=id_))
            for id_ in ['PHANTOM-1', 'OTHER', 'PHANTOM-2'])
        Study = study.__class__
        Study.unlink_because([decided], "Unclear")
        rule = self.rule(patient_id='PHANTOM*')
        self.rule(patient_id='OTHER')
        rule.__class__.apply([rule])
        self.assertEqual(
            [Study(s.id).link_status for s in [study, other, decided]],
            ['dismissed', 'unlinked', 'unlinked'])

    @with_transaction()
    def test_inactive_rules_do_nothing(self):
        self.rule(patient_id='PHANTOM*', active=False)
        self.assertEqual(
            match_study(self.phantom()).link_status, 'unlinked')

    @with_transaction()
    def test_patterns_that_match_everything(self):
        for values in [
                {'patient_id': '*'}, {'patient_id': '?*'}, {'station': '**'},
                {'patient_id': 'A*'},
                {'patient_id': 'PHANTOM*', 'station': '*'}]:
            with self.subTest(values=values):
                with self.assertUserError('msg_dismissal_rule_pattern'):
                    self.rule(**values)
        with self.assertUserError('msg_dismissal_rule_empty'):
            self.rule()


class WizardTestCase(ReviewTestCase):
    "The dialog that goes through the queue"

    def setUp(self):
        super().setUp()
        self._session = None

    def start(self, studies=None, name='gnuhealth.imaging_orthanc.review'):
        "Open it on studies, or on all that wait; return what is shown"
        self._wizard = Pool().get(name, type='wizard')
        self._context = {}
        if studies is not None:
            ids = [s.id for s in studies]
            self._context = {
                'active_model': STUDY, 'active_id': ids[0],
                'active_ids': ids}
        self._session, state, _ = self._wizard.create()
        self._shown = None
        return self.press(state)

    def press(self, state, **values):
        """Press a button after having entered values."""
        data = {}
        if self._shown:
            name, shown = self._shown
            data[name] = {**shown, **values}
        with Transaction().set_context(self._context):
            result = self._wizard.execute(self._session, data, state)
        self._actions = result.get('actions')
        view = result['view']
        self._shown = view['state'], {
            name: value for name, value in {
                **view['defaults'], **view['values']}.items()
            if '.' not in name}
        return view['state'], {**view['defaults'], **view['values']}

    @with_transaction()
    def test_the_queue(self):
        one, two = self.patient(), self.patient(name="Erna")
        unlinked = match_study(self.vetoed(one))
        first = self.suggested(one)
        self.suggested(two)
        state, shown = self.start()
        self.assertEqual(state, 'show')
        self.assertEqual(shown['position'], "1 of 3")
        self.assertEqual(shown['study'], first.id)
        self.assertEqual(shown['patient'], one.id)
        self.assertEqual(shown['doubt'], 'difference')
        lines = {line['field']: line for line in shown['comparisons']}
        self.assertEqual(lines["Birth Date"]['verdict'], 'differs')
        self.assertEqual(lines["Birth Date"]['ours'], '1964-08-12')
        self.assertEqual(lines["Patient ID"]['verdict'], 'equal')
        self.assertIn(one.party.ref, shown['choices'])
        state, shown = self.press('confirm')
        self.assertEqual(first.__class__(first.id).link_status, 'manual')
        self.assertEqual(shown['position'], "2 of 3")
        self.assertEqual(shown['patient'], two.id)
        state, shown = self.press('skip')
        self.assertEqual(shown['study'], unlinked.id)
        # Whom nothing is proposed for is nobody's until one is chosen
        self.assertIsNone(shown['patient'])
        (key, label), *_ = json.loads(shown['choices'])
        self.assertEqual(key, f'{one.id},')
        self.assertIn("contradiction", label)
        state, _ = self.press('ask_dismiss')
        self.assertEqual(state, 'ask_dismiss')
        state, shown = self.press('dismiss', reason="For teaching")
        self.assertEqual(state, 'done')
        for line in ["Confirmed: 1", "Dismissed: 1", "Skipped: 1"]:
            self.assertIn(line, shown['message'])
        self.assertEqual(
            unlinked.__class__(unlinked.id).decision_reason, "For teaching")

    @with_transaction()
    def test_view_keeps_what_is_chosen(self):
        study, other = self.suggested(self.patient()), self.patient()
        _, shown = self.start()
        self.assertFalse(shown['can_view_images'])
        Session = Pool().get('gnuhealth.imaging_orthanc.viewer_session')
        with installed_viewer(), patch.object(
                Session, 'issue_ticket', return_value='TICKET') as issue:
            _, shown = self.start()
            self.assertTrue(shown['can_view_images'])
            _, shown = self.press('view', patient=other.id)
            (action, _), = self._actions
            self.assertTrue(action['url'].endswith('/orthanc/view#TICKET'))
            issue.assert_called_once_with([study], None)
            self.assertEqual(shown['study'], study.id)
            self.assertEqual(shown['patient'], other.id)
            Pool().get(STUDY).delete([study])
            with self.assertRaisesRegex(UserError, "no images"):
                self.press('view')

    @with_transaction()
    def test_nothing_waits(self):
        state, shown = self.start()
        self.assertEqual(state, 'done')
        self.assertEqual(
            shown['message'], gettext('health_orthanc.msg_review_empty'))

    @with_transaction()
    def test_another_one_is_chosen_against_a_contradiction(self):
        Show = Pool().get('gnuhealth.imaging_orthanc.review.show')
        patient, other = self.patient(), self.patient(
            name="Erna", dob=OTHER_BIRTH)
        study = self.suggested(patient)
        _, shown = self.start([study])
        form = Show(
            study=study, patient=other, request=None, choices=None)
        form.on_change_patient()
        self.assertIn('typing error', form.vetoes)
        choice = {'patient': other.id, 'stamp': form.stamp}
        state, shown = self.press('confirm', **choice)
        self.assertEqual(state, 'ask_link')
        self.assertIn('typing error', shown['vetoes'])
        state, shown = self.press('show')
        self.assertEqual(shown['patient'], other.id)
        self.press('confirm')
        with self.assertUserError('msg_link_veto'):
            self.press('link', reason=" ")
        state, _ = self.press('link', reason="He showed his passport")
        self.assertEqual(state, 'done')
        study = study.__class__(study.id)
        self.assertEqual(study.patient, other)
        self.assertEqual(study.decision_reason, "He showed his passport")

    @with_transaction()
    def test_unlink(self):
        study = self.suggested(self.patient())
        self.start([study])
        self.press('ask_unlink')
        with self.assertUserError('msg_reason_required'):
            self.press('unlink', reason="")
        self.press('unlink', reason="Not her")
        study = study.__class__(study.id)
        self.assertIsNone(study.patient)
        self.assertEqual(study.decision_reason, "Not her")

    @with_transaction()
    def test_somebody_else_was_quicker(self):
        patient, other = self.patient(), self.patient(name="Erna", dob=None)
        for press in ['confirm', 'unlink', 'dismiss']:
            study = self.suggested(patient)
            self.start([study])
            if press != 'confirm':
                self.press(f'ask_{press}')
            study.__class__.link_because(study, other, None, "She says so")
            values = {} if press == 'confirm' else {'reason': "Late"}
            state, shown = self.press(press, **values)
            self.assertEqual(state, 'show')
            self.assertEqual(shown['notice'], gettext(
                    'health_orthanc.msg_review_changed'))
            self.assertEqual(shown['patient'], other.id)
            self.assertEqual(study.__class__(study.id).patient, other)

    @with_transaction()
    def test_the_patient_was_corrected_meanwhile(self):
        patient = self.patient()
        study = self.suggested(patient)
        self.start([study])
        Party = Pool().get('party.party')
        Party.write([patient.party], {'dob': OTHER_BIRTH})
        state, shown = self.press('confirm')
        self.assertTrue(shown['notice'])
        self.assertEqual(
            study.__class__(study.id).link_status, 'auto_unsure')

    @with_transaction()
    def test_a_study_is_deleted_meanwhile(self):
        studies = [
            self.suggested(self.patient(name=name))
            for name in ["Erika", "Erna", "Berta"]]
        self.start()
        studies[1].__class__.delete([studies[1]])
        _, shown = self.press('skip')
        self.assertEqual(shown['study'], studies[2].id)

    @with_transaction()
    def test_whatever_images_hold_is_shown_as_text(self):
        study = create_study(
            create_server(), study_description='x' * 10_000,
            patient_name='<b>Muster</b>^\u202eErika')
        _, shown = self.start([study])
        lines = {line['field']: line for line in shown['comparisons']}
        self.assertIn('<b>Muster</b>', lines["Name"]['theirs'])
        self.assertNotIn('\u202e', lines["Name"]['theirs'])
        self.assertEqual(len(lines["Description"]['theirs']), 200)

    def rows(self, shown):
        return {line['field']: line for line in shown['comparisons']}

    @with_transaction()
    def test_a_contradiction_shows_whom_the_images_name(self):
        "With the ID of somebody else, and the order of a third one"
        owner = self.patient(
            name="Otto", lastname="Irrtum", dob=OTHER_BIRTH, gender='m')
        Pool().get('gnuhealth.patient').write(
            [owner], {'biological_sex': 'm'})
        third = create_order(
            self.patient(name="Berta"), requested=True)
        study = match_study(self.study(
                owner, patient_name='Niemand^Nie', patient_sex='F',
                patient_birth_date=BIRTH,
                accession_number=third.accession_number))
        self.assertIsNone(study.patient)
        _, shown = self.start([study])
        self.assertIsNone(shown['patient'])
        lines = shown['named'].splitlines()
        self.assertTrue(any(
                owner.party.ref in line and "Irrtum" in line
                for line in lines), lines)
        self.assertTrue(any(
                third.accession_number in line and "Berta" in line
                for line in lines), lines)
        # The contradictions are shown before a patient is selected
        self.assertTrue(shown['vetoes'])
        self.assertTrue(shown['compared_with'])
        rows = self.rows(shown)
        self.assertIn(
            'differs', {line['verdict'] for line in rows.values()})
        for name in ["Patient ID", "Name", "Birth Date"]:
            self.assertTrue(rows[name]['ours'], name)

    @with_transaction()
    def test_the_contradiction_of_the_owner_of_the_id(self):
        owner = self.patient(name="Otto", dob=OTHER_BIRTH)
        study = match_study(self.study(owner, patient_birth_date=BIRTH))
        self.assertEqual(study.doubt, 'veto')
        _, shown = self.start([study])
        self.assertIsNone(shown['patient'])
        self.assertIn(owner.party.ref, shown['compared_with'])
        self.assertEqual(self.rows(shown)["Birth Date"]['verdict'], 'differs')
        self.assertEqual(
            self.rows(shown)["Birth Date"]['ours'], OTHER_BIRTH.isoformat())
        self.assertTrue(shown['score'])
        # Nobody is linked by pressing the button
        state, shown = self.press('confirm')
        self.assertEqual(state, 'show')
        self.assertEqual(shown['notice'], gettext(
                'health_orthanc.msg_review_no_patient'))
        self.assertIsNone(study.__class__(study.id).patient)

    @with_transaction()
    def test_linking_against_a_contradiction_names_the_patient(self):
        Show = Pool().get('gnuhealth.imaging_orthanc.review.show')
        patient, other = self.patient(), self.patient(
            name="Erna", dob=OTHER_BIRTH)
        order = create_order(other, requested=True)
        study = self.suggested(patient)
        _, shown = self.start([study])
        form = Show(
            study=study, patient=other, request=order, further=[],
            choices=shown['choices'])
        form.on_change_patient()
        _, shown = self.press(
            'confirm', patient=other.id, request=order.id, stamp=form.stamp)
        self.assertIn(other.party.ref, shown['patient'])
        self.assertIn("Erna", shown['patient'])
        self.assertIn(order.accession_number, shown['orders'])
        self.assertIn(patient.party.ref, shown['named'])

    @with_transaction()
    def test_wording_is_no_difference(self):
        patient = self.patient()
        order = create_order(patient, requested=True)
        study = match_study(self.study(
                patient, study_instance_UID=order.study_instance_uid,
                study_description="Schädel nativ", date=order.date.date(),
                patient_sex=None, patient_id=None))
        _, shown = self.start([study])
        row = self.rows(shown)["Description"]
        self.assertTrue(row['minor'])
        self.assertEqual(row['reason'], gettext(
                'health_orthanc.msg_reason_wording'))
        self.assertFalse(self.rows(shown)["Name"]['minor'])
        colors = dict(
            (name, value) for path, name, value, *_ in Pool().get(
                'gnuhealth.imaging_orthanc.review.comparison'
                ).view_attributes() if path == '/tree')
        decoder = PYSONDecoder({'verdict': 'differs', 'minor': True})
        self.assertEqual(
            decoder.decode(PYSONEncoder().encode(colors['visual'])), '')

    @with_transaction()
    def test_a_part_of_a_name_is_not_missing(self):
        patient = self.patient(name="Erika Maria")
        study = match_study(self.study(patient, patient_name='Muster^Erika'))
        _, shown = self.start([study])
        self.assertEqual(self.rows(shown)["Name"]['verdict'], 'partial')
        self.assertTrue(study.decisions[0].compared)

    @with_transaction()
    def test_several_orders_are_suggested_and_confirmed(self):
        patient = self.patient()
        orders = [create_order(patient, requested=True) for _ in range(2)]
        study = match_study(self.study(
                patient, date=orders[0].date.date(),
                patient_birth_date=dt.date(1964, 12, 8),
                accession_number='\\'.join(
                    o.accession_number for o in orders)))
        _, shown = self.start([study])
        self.assertEqual(shown['request'], orders[0].id)
        self.assertEqual(shown['further'], [orders[1].id])
        (key, label), *_ = json.loads(shown['choices'])
        self.assertEqual(
            key, f'{patient.id},{orders[0].id}+{orders[1].id}')
        self.assertEqual(shown['choice'], key)
        for order in orders:
            self.assertIn(order.accession_number, label)
            self.assertTrue(any(
                    order.accession_number in line['field']
                    for line in shown['comparisons']))
        self.press('confirm')
        study = study.__class__(study.id)
        self.assertEqual(study.linked_orders, orders)
        self.assertEqual({o.state for o in orders}, {'done'})

    @with_transaction()
    def test_several_orders_are_chosen(self):
        Show = Pool().get('gnuhealth.imaging_orthanc.review.show')
        patient = self.patient()
        orders = [create_order(patient, requested=True) for _ in range(3)]
        study = self.suggested(patient)
        _, shown = self.start([study])
        form = Show(
            study=study, patient=patient, request=orders[2], further=[],
            choices=shown['choices'])
        form.on_change_request()
        form.further = [orders[0]]
        form.on_change_further()
        self.press(
            'confirm', patient=patient.id, request=orders[2].id,
            further=[orders[0].id], stamp=form.stamp)
        study = study.__class__(study.id)
        self.assertEqual(study.linked_orders, [orders[2], orders[0]])
        # And one of them is taken away again
        _, shown = self.start([study])
        self.assertEqual(shown['further'], [orders[0].id])
        form = Show(
            study=study, patient=patient, request=orders[0], further=[],
            choices=shown['choices'])
        form.on_change_request()
        self.press(
            'confirm', request=orders[0].id, further=[], stamp=form.stamp)
        self.assertEqual(
            study.__class__(study.id).linked_orders, [orders[0]])
        self.assertEqual(
            [o.__class__(o.id).state for o in orders],
            ['done', 'requested', 'requested'])

    @with_transaction()
    def test_further_orders_go_with_the_patient(self):
        Show = Pool().get('gnuhealth.imaging_orthanc.review.show')
        patient, other = self.patient(), self.patient(name="Erna")
        orders = [create_order(patient, requested=True) for _ in range(2)]
        study = self.suggested(patient)
        form = Show(
            study=study, patient=other, request=orders[0],
            further=orders[1:], choices=None)
        form.on_change_patient()
        self.assertIsNone(form.request)
        self.assertEqual(list(form.further), [])

    @with_transaction()
    def test_many_at_once(self):
        patient = self.patient()
        certain = match_study(self.study(patient))
        differs = self.suggested(patient)
        known = match_study(self.study(
                patient, patient_sex=None, patient_birth_date=None))
        self.assertEqual(known.doubt, 'identity')
        changed = self.suggested(self.patient(name="Erna"))
        changed.__class__.write([changed], {
                'patient': patient.id, 'link_status': 'auto_unsure'})
        name = 'gnuhealth.imaging_orthanc.confirm_suggestions'
        self.start([certain, differs, known, changed], name)
        state, shown = self.press('confirm', score=100)
        self.assertEqual(state, 'done')
        self.assertIn("Confirmed: 1", shown['message'])
        self.assertIn("Not confirmed: 1 – some data differ", shown['message'])
        Study = known.__class__
        self.assertEqual(
            [Study(s.id).link_status for s in [
                    certain, differs, known, changed]],
            ['auto_certain', 'auto_unsure', 'manual', 'auto_unsure'])


class ListTestCase(ReviewTestCase):
    "What lists show of what waits"

    @with_transaction()
    def test_why_it_waits(self):
        patient = self.patient()
        create_order(patient, requested=True)
        study = match_study(self.study(
                patient, patient_id=None, patient_birth_date=None))
        self.assertEqual(study.link_status, 'unlinked')
        self.assertEqual(study.candidate, patient)
        self.assertEqual(study.doubt, 'floor')
        study = match_study(create_study(
                create_server(), patient_name='Niemand^Nie'))
        self.assertEqual(study.doubt, 'nobody')
        self.assertIsNone(study.candidate)
        vetoed = match_study(self.vetoed(patient))
        self.assertEqual(vetoed.link_status, 'unlinked')
        self.assertEqual(vetoed.candidate, patient)
        self.assertEqual(vetoed.doubt, 'veto')
        self.assertLess(vetoed.score, 100)
        certain = match_study(self.study(patient))
        self.assertIsNone(certain.doubt)

    @with_transaction()
    def test_order(self):
        Study = Pool().get(STUDY)
        one, two = (create_study(create_server()) for _ in range(2))
        domain = [('id', 'in', [one.id, two.id])]
        self.assertEqual(
            Study.search(domain, order=[('age', 'ASC')]), [two, one])
        for name in ['score', 'candidate', 'doubt']:
            self.assertEqual(len(Study.search(
                        domain, order=[(name, 'DESC')])), 2)
        self.assertEqual(one.age, dt.timedelta())

    @with_transaction()
    def test_tabs(self):
        Study = Pool().get(STUDY)
        server = create_server(start_date=dt.date(2026, 1, 1))
        old = create_study(server, historical=True)
        new = create_study(server, date=dt.date(2015, 1, 1))
        gone = create_study(server, missing_since=dt.datetime(2026, 1, 1))
        action = Pool().get('ir.action.act_window')(
            record_id('act_study_review'))
        found = [
            Study.search([
                    PYSONDecoder().decode(domain.domain),
                    ('id', 'in', [old.id, new.id, gone.id])])
            for domain in action.act_window_domains]
        self.assertEqual(found, [[], [new]])

    @with_transaction()
    def test_every_word_is_there(self):
        from trytond.modules.health_orthanc.core.matching.decisions import (
            Doubt)
        from trytond.modules.health_orthanc.core.matching.score import (
            WEIGHTS, Veto)
        from trytond.modules.health_orthanc.core.matching.verdicts import (
            Reason, Verdict)
        from trytond.modules.health_orthanc.linking.explanations import (
            DOUBTS, REPLACED)
        self.assertEqual(
            [value for value, _ in DOUBTS],
            [*(d.value for d in Doubt), REPLACED])
        for kind, values in [
                ('field', WEIGHTS),
                ('reason', [r.value for r in Reason]),
                ('verdict', [v.value for v in Verdict]),
                ('veto', [v.value for v in Veto])]:
            for value in values:
                record_id(f'msg_{kind}_{value}')
