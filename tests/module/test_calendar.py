# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calendar of procedure steps."""

import datetime as dt
import json

from lxml import etree

from trytond.modules.health_orthanc.common.views import CLIENT
from trytond.modules.health_orthanc.orders.step_calendar import (
    COLORS, OVERDUE_COLOR, TEXT_COLOR)
from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction

from .access import REQUEST, AccessTestCase
from .test_order import STEP
from .tools import (
    OrthancTestCase, Refused, Told, create_order, create_patient, create_test,
    record_id)

CONFIGURATION = 'gnuhealth.imaging.worklist.configuration'
STUDY_TYPE = 'gnuhealth.imaging.test'
# WCAG 2.1, success criterion 1.4.3
CONTRAST = 4.5
LATER = dt.datetime(2027, 1, 1, 9)


def luminance(color):
    "Return the relative luminance of a color, as WCAG defines it"
    parts = [int(color[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first, second):
    low, high = sorted(map(luminance, [first, second]))
    return (high + 0.05) / (low + 0.05)


class CalendarTestCase(OrthancTestCase):
    "What the calendar shows"

    def step(self, **values):
        test = create_test(**{
                name: values.pop(name)
                for name in ['aetitle', 'orthanc_modality'] if name in values})
        step, = create_order(
            requested=True, requested_test=test.id, **values).steps
        return step

    def test_texts_can_be_read(self):
        self.assertAlmostEqual(contrast('#000000', '#ffffff'), 21)
        for color in [*COLORS.values(), OVERDUE_COLOR]:
            with self.subTest(color=color):
                self.assertGreaterEqual(contrast(color, TEXT_COLOR), CONTRAST)

    @with_transaction()
    def test_each_state_has_its_color(self):
        Step = Pool().get(STEP)
        states = {state for state, _ in Step.state.selection}
        self.assertEqual(COLORS.keys(), states)
        self.assertEqual(
            len({*COLORS.values(), OVERDUE_COLOR}), len(states) + 1)
        step = self.step()
        self.assertEqual(step.calendar_color, COLORS['scheduled'])
        self.assertEqual(step.calendar_text_color, TEXT_COLOR)
        step.scheduled_at -= dt.timedelta(days=300)
        step.save()
        self.assertEqual(Step(step.id).calendar_color, OVERDUE_COLOR)

    @with_transaction()
    def test_the_title_tells_what_colors_tell(self):
        step = self.step(orthanc_modality='CT', urgent=True)
        step.description = "Head"
        step.save()
        self.assertEqual(
            step.calendar_title,
            f'Urgent · {step.patient.rec_name} · CT · Head · Scheduled')
        Pool().get(STEP).start([step])
        step = Pool().get(STEP)(step.id)
        self.assertIn('In Progress', step.calendar_title)

    @with_transaction()
    def test_the_view_tells_the_working_hours(self):
        pool = Pool()
        for times in [(7, 19), (8, 20)]:
            pool.get(CONFIGURATION).write([pool.get(CONFIGURATION)(1)], {
                    name: dt.time(hour)
                    for name, hour in zip(['day_start', 'day_end'], times)})
            arch = pool.get(STEP).fields_view_get(
                record_id('step_view_calendar'))['arch']
            root = etree.fromstring(arch)
            self.assertEqual([
                    root.get(f'{{{CLIENT}}}{name}')
                    for name in ['day_start', 'day_end']],
                [f'{hour:02}:00:00' for hour in times])

    @with_transaction()
    def test_steps_are_found_by_their_device(self):
        steps = {
            title: self.step(aetitle=title)
            for title in ['CT1', 'CT1\\CT2', 'MR\\CT1', 'A\\CT1\\B', 'CT11',
                'CT_', 'X\\Y', None]}
        Step = Pool().get(STEP)
        ids = [s.id for s in steps.values()]

        def found(*clause):
            selected = Step.search([('device', *clause), ('id', 'in', ids)])
            return {title for title, s in steps.items() if s in selected}
        ct1 = {'CT1', 'CT1\\CT2', 'MR\\CT1', 'A\\CT1\\B'}
        self.assertEqual(found('=', 'CT1'), ct1)
        self.assertEqual(found('=', 'CT_'), {'CT_'})
        self.assertEqual(found('in', ['CT_', 'Y']), {'CT_', 'X\\Y'})
        self.assertEqual(found('!=', 'CT1'), steps.keys() - ct1)
        self.assertEqual(
            found('not in', ['CT1', 'X']), steps.keys() - ct1 - {'X\\Y'})
        self.assertEqual(found('=', None), {None})
        self.assertEqual(found('in', []), set())

    def tabs(self):
        Keyword = Pool().get('ir.action.keyword')
        action, = Keyword.get_keyword(
            'tree_open', ('ir.ui.menu', record_id('menu_step_calendar')))
        return {
            name: json.loads(domain)
            for name, domain, _ in action['domains']}

    @with_transaction()
    def test_each_device_has_a_tab(self):
        pool = Pool()
        pool.get(STUDY_TYPE).write(
            pool.get(STUDY_TYPE).search([]), {'aetitle': None})
        self.assertEqual(self.tabs(), {})
        devices = [f'DEV{number:02}' for number in range(12)]
        create_test(aetitle='\\'.join(devices[:2]))
        tests = [create_test(aetitle=device) for device in devices[1:]]
        self.assertEqual(
            list(self.tabs()), ['All', *devices, 'Other Devices'])
        self.assertEqual(
            self.tabs()['DEV03'], [['device', '=', 'DEV03']])
        self.assertEqual(
            self.tabs()['Other Devices'], [['device', 'not in', devices]])
        pool.get(STUDY_TYPE).write(tests[-1:], {'active': False})
        self.assertEqual(
            list(self.tabs()), ['All', *devices[:-1], 'Other Devices'])


class MoveTestCase(AccessTestCase):
    "Dragging a step in the calendar"

    def setUp(self):
        with Transaction().start(self.db_name, 1) as transaction:
            self.steps = {}
            for kind in ['plain', 'urgent', 'in_progress', 'completed']:
                step, = create_order(
                    create_patient(), requested=True,
                    urgent=kind == 'urgent').steps
                self.steps[kind] = step.id
            Step = Pool().get(STEP)
            Step.start([Step(self.steps['in_progress'])])
            Step.complete([Step(self.steps['completed'])])
            transaction.commit()

    def move(self, login, kind, **values):
        self.as_(login).model(
            STEP, 'write', [self.steps[kind]],
            values or {'scheduled_at': LATER})

    def moved(self, kind):
        return self.stored(STEP, self.steps[kind], 'scheduled_at') == LATER

    def test_it_asks_before(self):
        for kind in ['urgent', 'in_progress']:
            with self.subTest(kind=kind):
                with self.assertRaises(Exception) as raised:
                    self.move('radiographer', kind)
                self.assertEqual(str(raised.exception), 'UserWarning')
                self.assertFalse(self.moved(kind))
        # Only what moves it
        self.move('radiographer', 'urgent', description="Head")

    def test_it_moves_what_was_agreed_to(self):
        session = self.as_('radiographer')
        with Transaction().start(self.db_name, session.user):
            Warning = Pool().get('res.user.warning')
            key = Warning.format(
                'step_move_urgent', [Pool().get(STEP)(self.steps['urgent'])])
        session.model('res.user.warning', 'skip', key, False)
        self.move('radiographer', 'urgent')
        self.assertTrue(self.moved('urgent'))
        # For this time only
        with self.assertRaises(Exception) as raised:
            self.move(
                'radiographer', 'urgent',
                scheduled_at=LATER + dt.timedelta(hours=1))
        self.assertEqual(str(raised.exception), 'UserWarning')

    def test_others_move_at_once(self):
        for login in ['radiographer', 'doctor', 'head', 'administrator']:
            self.move(login, 'plain')
            self.assertTrue(self.moved('plain'))

    def test_what_is_completed_stays(self):
        with self.assertRaises(Told) as raised:
            self.move('radiographer', 'completed')
        self.assertIn("closed", str(raised.exception))
        self.assertFalse(self.moved('completed'))

    def test_who_may_not_reschedule_learns_nothing(self):
        for login in ['clerk', 'nobody', 'privacy']:
            for kind in self.steps:
                for values in [
                        {'scheduled_at': LATER},
                        {'scheduled_end': LATER},
                        {'duration': dt.timedelta(hours=3)}]:
                    with self.subTest(user=login, kind=kind):
                        with self.assertRaises(Refused):
                            self.move(login, kind, **values)
                self.assertFalse(self.moved(kind))

    def test_rules_on_patients_hold_for_what_names_them(self):
        names = [
            'calendar_title', 'patient_lines', 'patient_identity',
            'patient_warnings', 'status_lines']
        with Transaction().start(self.db_name, 1) as transaction:
            pool = Pool()
            steps = pool.get(STEP).browse(
                [self.steps['plain'], self.steps['urgent']])
            seen, hidden = [s.request.patient for s in steps]
            for patient in [seen, hidden]:
                patient.critical_info = f"Known as {patient.rec_name}"
                patient.save()
            texts = [[p.rec_name, p.puid] for p in [seen, hidden]]
            orders = [s.request.id for s in steps]
            group, = pool.get('ir.rule.group').create([{
                        'name': "Hides one",
                        'model': pool.get('ir.model').search(
                            [('model', '=', 'gnuhealth.patient')])[0].id,
                        'global_p': True, 'rules': [('create', [{
                                        'domain':
                                        f'[["id", "!=", {hidden.id}]]',
                                        }])]}])
            transaction.commit()

        def remove():
            with Transaction().start(self.db_name, 1) as transaction:
                Pool().get('ir.rule.group').delete([group])
                transaction.commit()
        self.addCleanup(remove)
        for login in ['radiographer', 'head', 'doctor', 'clerk']:
            rows = {
                row['id']: ' '.join(str(row[name]) for name in names)
                for row in self.as_(login).model(
                    STEP, 'read', [s.id for s in steps], names)}
            named = {
                row['id']: row['patient_lines']
                for row in self.as_(login).model(
                    REQUEST, 'read', orders, ['patient_lines'])}
            with self.subTest(user=login):
                for text in texts[0]:
                    self.assertIn(text, rows[steps[0].id])
                    self.assertIn(text, named[orders[0]])
                for text in texts[1]:
                    self.assertNotIn(text, rows[steps[1].id])
                self.assertEqual(named[orders[1]], '')
                # What is to be done is told
                self.assertIn('Scheduled', rows[steps[1].id])

    def test_the_end_is_searched_without_reading_all_steps(self):
        with Transaction().start(self.db_name, 1):
            Step = Pool().get(STEP)
            steps = Step.browse(list(self.steps.values()))
            minutes = [None, 10, 45, 45]
            for step, duration in zip(steps, minutes):
                Step.write([step], {
                        'duration': duration and dt.timedelta(
                            minutes=duration)})
            self.assertEqual(
                list(Step._longer_durations()), [dt.timedelta(minutes=45)])
            for step in steps:
                end = Step(step.id).scheduled_end
                self.assertIn(step, Step.search(
                        [('scheduled_end', '=', end)]))

    def test_who_sees_no_steps_sees_no_devices(self):
        with Transaction().start(self.db_name, 1) as transaction:
            create_test(aetitle='CT1')
            transaction.commit()
            action = record_id('act_step_calendar')
        for login in ['radiographer', 'nobody']:
            with self.subTest(user=login):
                with Transaction().start(
                        self.db_name, self.as_(login).user,
                        context={'_check_access': True}):
                    ActWindow = Pool().get('ir.action.act_window')
                    domains = ActWindow(action).domains
                self.assertEqual(
                    'CT1' in [name for name, *_ in domains],
                    login == 'radiographer')
