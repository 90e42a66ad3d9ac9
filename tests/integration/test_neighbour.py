# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The worklist module of GNU Health comes, works beside ours, and goes."""
import datetime as dt
import sys
from collections import Counter

import pytest
from lxml import etree

from trytond.pool import Pool

from devtools import launch_without
from devtools.tryton import MODULE, Tryton

from .agent import Agent
from .inside import add_patient
from .ordering import Order, make_orders
from .tables import dump
from .worklist_inside import doctor, study_type

WORKLIST = 'health_imaging_worklist'
REQUEST = 'gnuhealth.imaging.test.request'
RESULT = 'gnuhealth.imaging.test.result'
TEST = 'gnuhealth.imaging.test'
TEMPLATE = 'gnuhealth.imaging_worklist.worklist_template'
ADMIN = 1
# What both modules have
SHARED = {
    REQUEST: ['merge_id', 'worklist_status', 'worklist_text'],
    TEST: ['aetitle', 'imaging_worklist_template'],
    TEMPLATE: ['name', 'template_type', 'template', 'charset', 'comment'],
    }
# What a hospital has put in
KEPT = [
    'gnuhealth_imaging_test', 'gnuhealth_imaging_test_request',
    'gnuhealth_imaging_test_result',
    'gnuhealth_imaging_worklist_worklist_template',
    'gnuhealth_imaging_procedure_step',
    'gnuhealth_imaging_worklist_configuration']


class Without(Tryton):
    """The same database where the worklist module is not installed."""

    def _command(self, name):
        return [
            sys.executable, launch_without.__file__, WORKLIST,
            *super()._command(name)]


# Inside of Tryton


def fill():
    "Order by a template of each kind, with a result for each order"
    pool = Pool()
    templates = pool.get(TEMPLATE).create([
            {'name': f"Our {kind}", 'template_type': kind}
            for kind in ['dump2dcm', 'json']])
    make_orders([
            Order(f'PUID{number}', "Muster", "Erika", dt.datetime.now(),
                study=template.name)
            for number, template in enumerate(templates)])
    for template in templates:
        test, = pool.get(TEST).search([('name', '=', template.name)])
        pool.get(TEST).write([test], {
                'imaging_worklist_template': template.id})
    _add_results(pool.get(REQUEST).search([]))
    group = pool.get('ir.model.data').get_id(
        'health_orthanc.group_imaging_orthanc_admin')
    pool.get('res.user').write(
        [pool.get('res.user')(ADMIN)], {'groups': [('add', [group])]})


def _add_results(orders):
    Pool().get(RESULT).create([{
                'patient': order.patient.id, 'date': dt.datetime.now(),
                'requested_test': order.requested_test.id,
                'request': order.id, 'doctor': order.doctor.id,
                } for order in orders])


def order_more():
    "Return the merge ids of a new order and of its result"
    Request, Result = Pool().get(REQUEST), Pool().get(RESULT)
    order, = Request.copy(Request.search([], limit=1))
    _add_results([order])
    result, = Result.search([('request', '=', order.id)])
    return order.merge_id, result.merge_id


def shown():
    "Return how often forms show the fields that both modules have"
    found = {}
    for model, names in SHARED.items():
        view = Pool().get(model).fields_view_get(view_type='form')
        counts = Counter(
            field.get('name')
            for field in etree.fromstring(view['arch']).iter('field'))
        found[model] = {name: counts[name] for name in names}
    return found


def served():
    "Return what devices are told of the orders"
    return [
        (order.worklist_status, order.worklist_text)
        for order in Pool().get(REQUEST).search([], order=[('id', 'ASC')])]


def open_menus():
    "Return the menus of templates that everybody sees"
    Menu = Pool().get('ir.ui.menu')
    return [
        menu.rec_name for menu in Menu.search([])
        if menu.action and getattr(menu.action, 'res_model', '') == TEMPLATE
        and not menu.groups]


def deactivate():
    Module = Pool().get('ir.module')
    Module.deactivate(Module.search([('name', '=', WORKLIST)]))


def publish():
    "Order with the worklist module alone, by a template as it makes them"
    template, = Pool().get(TEMPLATE).create([{'name': "Theirs"}])
    Pool().get(TEST).write([Pool().get(TEST)(study_type())], {
            'imaging_worklist_template': template.id})
    now = dt.datetime.now().replace(microsecond=0)
    patient = add_patient(
        'PUID1', "Muster", "Erika", 'f', dt.date(1964, 8, 12))
    # Those of one list have one merge id, as all made at once have
    for group in [
            [('draft', 'draft', 'todo', 0)],
            [('come', 'requested', 'done', 0)],
            [('done', 'done', 'done', 1)],
            [('old', 'requested', 'todo', 20)],
            [('open', 'requested', 'todo', 0),
                ('second', 'requested', 'todo', 0)]]:
        Pool().get(REQUEST).create([{
                    'patient': patient, 'doctor': doctor(),
                    'requested_test': study_type(), 'comment': name,
                    'state': state, 'worklist_status': status,
                    'date': now - dt.timedelta(days=days),
                    } for name, state, status, days in group])


# From outside


class Clinic:
    """A database that the worklist module comes to, and goes from."""

    def __init__(self, tryton: Tryton):
        self.tryton = tryton
        self.agent = Agent(tryton)

    def __enter__(self) -> 'Clinic':
        self.agent.__enter__()
        return self

    def __exit__(self, *exc_info) -> None:
        self.agent.__exit__()

    def restart(self) -> None:
        self.agent.__exit__()
        self.agent = Agent(self.tryton)
        self.agent.__enter__()

    def activate(self, module: str = WORKLIST) -> None:
        self.tryton.update(module)
        self.restart()

    def deactivate(self) -> None:
        """Do what one does in the client."""
        self.agent.call(deactivate)
        self.tryton.admin('-u', WORKLIST)
        self.restart()

    def uninstall(self) -> None:
        """Update ours where the package is not there any more."""
        Without(
            self.tryton.folder, postgresql=self.tryton.postgresql,
            name=self.tryton.name).admin('-u', MODULE)
        self.restart()

    def kept(self) -> dict:
        """Return what must stay as it is."""
        rows = dump(self.tryton)
        return {
            'served': self.agent.call(served),
            **{name: rows[name] for name in KEPT}}

    def check(self, kept: dict) -> None:
        """Look for what is lost, shown twice or open to everybody."""
        assert self.kept() == kept
        assert self.agent.call(shown, user=ADMIN) == {
            model: dict.fromkeys(names, 1)
            for model, names in SHARED.items()}
        assert self.agent.call(open_menus) == []


@pytest.mark.release
def test_nothing_is_lost_when_it_comes_later_and_its_package_goes(
        make_tryton):
    with Clinic(make_tryton('sqlite', MODULE)) as clinic:
        clinic.agent.call(fill)
        kept = clinic.kept()
        clinic.activate()
        clinic.check(kept)
        clinic.deactivate()
        clinic.check(kept)
        clinic.uninstall()
        clinic.check(kept)


@pytest.mark.release
def test_nothing_is_lost_when_it_goes_and_comes_back(make_tryton):
    with Clinic(make_tryton('postgresql', MODULE, WORKLIST)) as clinic:
        clinic.agent.call(fill)
        kept = clinic.kept()
        clinic.check(kept)
        clinic.deactivate()
        clinic.check(kept)
        order, result = clinic.agent.call(order_more)
        assert order == result
        assert order not in {
            row['merge_id']
            for row in kept['gnuhealth_imaging_test_request'].values()}
        kept = clinic.kept()
        clinic.activate()
        clinic.check(kept)


@pytest.mark.release
def test_published_orders_are_known_by_their_former_number(make_tryton):
    with Clinic(make_tryton('sqlite', WORKLIST)) as clinic:
        clinic.agent.call(publish)
        before = orders(clinic.tryton)
        clinic.activate(MODULE)
        after = orders(clinic.tryton)
        texts = [text for _, text in clinic.agent.call(served)]
        steps = dump(clinic.tryton)['gnuhealth_imaging_procedure_step']
    for name, old in before.items():
        new = after[name]
        kept = old.keys() - {'write_date', 'write_uid'}
        assert {field: new[field] for field in kept} == {
            field: old[field] for field in kept}
        assert new['accession_alias'] == (
            None if name == 'draft' else old['request'])
        # Devices know the UID already
        assert (new['study_instance_uid'] == old['merge_id']) == (
            name != 'second')
    assert before['open']['merge_id'] == before['second']['merge_id']
    assert after['second']['study_instance_uid']
    # What is recent and not done yet is served on, under a new number
    opened = {row['request'] for row in steps.values()}
    assert opened == {after['open']['id'], after['second']['id']}
    for row in after.values():
        assert bool(row['accession_number']) == (row['id'] in opened)
    assert sum(
        f"(0008,0050) SH [{after['open']['accession_number']}]" in text
        and '(0008,0005) CS [ISO_IR 192]' in text for text in texts) == 1


def orders(tryton: Tryton) -> dict[str, dict]:
    rows = dump(tryton)['gnuhealth_imaging_test_request']
    return {row['comment']: row for row in rows.values()}
