# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Color never alone tells a state."""

import json

from lxml import etree

from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction

from .tools import MODULE, OrthancTestCase

STUDY = 'gnuhealth.imaging_orthanc.study'
STEP = 'gnuhealth.imaging.procedure.step'
SERVER = 'gnuhealth.orthanc.config'
# What tells in words what a color tells by another field of the model
WORDS = {
    (STEP, 'state'): {'status_lines'},
    (STEP, 'overdue'): {'status_lines'},
    (STEP, 'problem'): {'status_lines'},
    (STUDY, 'missing_since'): {'patient_lines'},
    (STUDY, 'quarantined_at'): {'patient_lines'},
    (SERVER, 'failing_since'): {'contact_error'},
    (SERVER, 'check_error_kind'): {'contact_error'},
    # Differences that are minor have a comment
    ('gnuhealth.imaging_orthanc.review.comparison', 'minor'): {'reason'},
    }
# Lists that need no words for a field, by the name of the view
WITHOUT_WORDS = {
    # Each of its tabs has one link status, and that for its name
    ('study_list_review', 'link_status'),
    # Those of a patient that nobody has confirmed are a list of their own
    ('study_list_timeline', 'link_status'),
    # All of its steps are rejected, and that is its title
    ('step_list_board_rejected', 'state'),
    ('step_list_board_rejected', 'overdue'),
    ('step_list_board_rejected', 'problem'),
    # It has only open warnings, and that is its title
    ('operation_warning_list_board', 'ended_at'),
    }


def names_in(condition):
    "Return the names of the fields that a condition in JSON evaluates"
    if isinstance(condition, dict):
        found = set()
        if condition.get('__class__') == 'Eval':
            found.add(condition['v'])
        return found.union(*map(names_in, condition.values()))
    if isinstance(condition, list):
        return set().union(*map(names_in, condition))
    return set()


def shown(root):
    "Return the fields that everybody sees in a view who changes nothing"
    return {
        element.get('name') for element in root.iter('field')
        if element.get('tree_invisible', '0') == '0'
        and element.get('optional', '0') == '0'
        } | {
        # Its text is there where the field is not invisible
        element.get('name') for element in root.iter('prefix', 'suffix')
        if element.get('string')}


def colored(root):
    "Yield what a view shows in color, and the fields that this depends on"
    for element in root.iter():
        if element.get('visual'):
            yield element, names_in(json.loads(element.get('visual')))


class ColorTestCase(OrthancTestCase):

    @staticmethod
    def views():
        "Yield each model of ours, each of its views, and the tree of that"
        pool = Pool()
        View = pool.get('ir.ui.view')
        ours = View.browse([
                data.db_id for data in pool.get('ir.model.data').search([
                        ('module', '=', MODULE),
                        ('model', '=', View.__name__)])])
        models = {view.model for view in ours if view.model}
        for view in View.search([
                    ('model', 'in', list(models)),
                    ('inherit', '=', None)]):
            Model = pool.get(view.model)
            arch = Model.fields_view_get(view.id)['arch']
            yield Model, view, etree.fromstring(arch)

    @with_transaction()
    def test_lists_tell_in_words_what_they_tell_by_color(self):
        seen, needed = set(), set()
        for Model, view, root in self.views():
            for element, names in colored(root):
                for name in names - {element.get('name')}:
                    words = {name, *WORDS.get((Model.__name__, name), [])}
                    place = view.name, name
                    seen.add((Model.__name__, name))
                    if words & shown(root):
                        continue
                    needed.add(place)
                    with self.subTest(view=place):
                        self.assertIn(place, WITHOUT_WORDS)
        self.assertLessEqual({(STEP, 'state'), (STUDY, 'link_status')}, seen)
        # No exception outlives what it was for
        self.assertLessEqual(WORDS.keys(), seen)
        self.assertEqual(WITHOUT_WORDS, needed)

    @with_transaction()
    def test_clients_get_what_a_color_depends_on(self):
        seen = set()
        for Model, view, root in self.views():
            fields = Model.fields_view_get(view.id)['fields']
            for element, names in colored(root):
                seen.add(view.name)
                with self.subTest(view=view.name, element=element.tag):
                    self.assertLessEqual(names, fields.keys())
        self.assertLessEqual({
                'step_list', 'step_list_board', 'step_list_board_rejected',
                'study_list_board'}, seen)

    @with_transaction()
    def test_texts_beside_a_field_are_hidden_where_they_do_not_apply(self):
        for Model, view, root in self.views():
            for element in root.iter('prefix', 'suffix'):
                field = Model._fields[element.get('name')]
                with self.subTest(view=view.name, field=field.name):
                    self.assertIn('invisible', field.states)

    @with_transaction()
    def test_graphs_have_a_list_beside_them(self):
        "Whoever cannot tell the colors of a graph apart reads its numbers"
        pool = Pool()
        ActionView = pool.get('ir.action.act_window.view')
        graphs = 0
        for Model, view, root in self.views():
            if root.tag != 'graph':
                continue
            graphs += 1
            values = {field.get('name') for field in root.find('y')}
            with self.subTest(view=view.name):
                self.assertEqual(root.get('legend', '1'), '1')
                colors = [field.get('color') for field in root.find('y')]
                self.assertEqual(len(colors), len(set(colors)))
                places = ActionView.search([('view', '=', view.id)])
                self.assertTrue(places)
                for act_window in {p.act_window for p in places}:
                    lists = [
                        etree.fromstring(
                            Model.fields_view_get(v.view.id)['arch'])
                        for v in act_window.act_window_views
                        if v.view.rng_type == 'tree']
                    self.assertTrue(
                        [tree for tree in lists if values <= shown(tree)])
        self.assertTrue(graphs)

    @with_transaction()
    def test_calendars_have_a_title(self):
        "What it says in which state is in test_calendar"
        calendars = [
            root for _, _, root in self.views() if root.tag == 'calendar']
        self.assertTrue(calendars)
        for root in calendars:
            self.assertIn('calendar_title', [
                    field.get('name') for field in root.iter('field')])
