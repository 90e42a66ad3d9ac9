# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calendar of steps: its day, its devices, and what is dragged."""
import datetime as dt

import pytest
from playwright.sync_api import Error, expect

from devtools.process import wait_until

from .client import ACTIVE
from .clinic import EJEMPLO, GREEK, JAPANESE, KOFI

ORTHANC = ["Health", "Medical Imaging", "Orthanc"]
TIMEOUT = 20
# Which hours are in sight
_HOURS = '''scroller => {
    const frame = scroller.getBoundingClientRect();
    const cells = scroller.querySelectorAll('.fc-slats .fc-time');
    return [...cells].filter(cell => {
        const {top, bottom} = cell.getBoundingClientRect();
        return top >= frame.top - 1 && bottom <= frame.bottom + 1;
    }).map(cell => cell.innerText.trim()).filter(Boolean);
}'''

# Whether the first line of the name is within what shows a step
_NAMED = '''element => {
    const [line] = element.querySelector('.fc-title').getClientRects();
    return line.bottom <= element.getBoundingClientRect().bottom + 1;
}'''


@pytest.fixture
def add_step(clinic):
    """A function that adds a step at a time of today."""
    def add(person, code, hour, **values):
        step = clinic.add_order(person, code)
        step.scheduled_at = dt.datetime.combine(
            dt.date.today(), dt.time(hour))
        for name, value in values.items():
            setattr(step, name, value)
        step.save()
        return step
    return add


def open_calendar(client):
    client.menu(*ORTHANC, "Step Calendar")
    client.within('.fc-view').wait_for()


def event(client, text):
    """Return what the calendar shows of a step."""
    return client.within('.fc-event').filter(has_text=text)


def hours_in_sight(client):
    client.settle()
    return client.within('.fc-scroller').evaluate(_HOURS)


def drag(client, element, *, days=0, hours=0):
    """Drag something in the calendar."""
    # While it loads its events, what is dragged is none of them for it
    client.settle()
    element.scroll_into_view_if_needed()
    day = client.within('.fc-day-header').first.bounding_box()['width']
    half_hour = client.within('.fc-slats tr').first.bounding_box()['height']
    box = element.bounding_box()
    mouse = client.page.mouse
    mouse.move(box['x'] + 5, box['y'] + 5)
    mouse.down()
    mouse.move(
        box['x'] + 5 + days * day, box['y'] + 5 + hours * 2 * half_hour,
        steps=10)
    mouse.up()


def drag_until(client, element, happened, **distance):
    """Drag again if the mouse was too quick for the calendar."""
    def dragged():
        try:
            drag(client, element, **distance)
        except Error as error:
            # The calendar has been drawn anew meanwhile
            if "not attached" not in str(error):
                raise
            return False
        return wait_until(happened, TIMEOUT / 2)
    assert any(dragged() for _ in range(3))


def test_it_opens_at_the_working_hours(radiographer, add_step):
    add_step(EJEMPLO, 'MR-KNEE', 9)
    open_calendar(radiographer)
    # Other tests have ordered for him, too, at later hours
    shown = event(radiographer, "Ejemplo Núñez, Juan José").filter(
        has_text="09:00 - 09:30")
    expect(shown).to_contain_text("MR · MRI of the Knee · Scheduled")
    expect(shown).to_be_in_viewport()
    hours = hours_in_sight(radiographer)
    assert hours[0] == '07:00'
    assert '16:00' in hours
    expect(radiographer.within('.fc-agendaDay-view')).to_be_visible()
    shown.click()
    radiographer.expect_value('patient', "Ejemplo Núñez, Juan José")


def test_each_device_has_a_tab(radiographer, add_step):
    add_step(GREEK, 'XR-CHEST', 10)
    add_step(GREEK, 'US-ABDOMEN', 12)
    open_calendar(radiographer)
    assert radiographer.filter_names() == [
        "All", "DEMO-CT", "DEMO-MR", "DEMO-US", "DEMO-XR", "Other Devices"]
    chest = event(radiographer, "Chest X-ray").first
    abdomen = event(radiographer, "Ultrasound of the Abdomen").first
    expect(chest).to_be_visible()
    expect(abdomen).to_be_visible()
    radiographer.filter("DEMO-XR")
    expect(chest).to_be_visible()
    expect(abdomen).to_have_count(0)
    # SAO takes the calendar out of the page in between
    assert hours_in_sight(radiographer)[0] == '07:00'
    radiographer.filter("DEMO-XR")
    assert hours_in_sight(radiographer)[0] == '07:00'
    radiographer.filter("Other Devices")
    expect(chest).to_have_count(0)


def test_short_steps_show_their_patients(radiographer, add_step):
    for person in [EJEMPLO, GREEK, KOFI]:
        add_step(person, 'XR-CHEST', 13)
        add_step(person, 'MR-KNEE', 13)
    open_calendar(radiographer)
    shown = event(radiographer, "13:00 - 13:30")
    expect(shown.nth(5)).to_be_visible()
    assert all(
        step.evaluate(_NAMED) for step in shown.all())


def test_it_stays_where_it_was_scrolled_to(radiographer, add_step):
    add_step(KOFI, 'XR-CHEST', 14)
    open_calendar(radiographer)
    shown = event(radiographer, "Chest X-ray").first
    expect(shown).to_be_visible()
    scroller = radiographer.within('.fc-scroller')
    scroller.evaluate('scroller => scroller.scrollTo(0, 100)')
    hours = hours_in_sight(radiographer)
    assert hours[0] not in ['00:00', '07:00']
    radiographer.within('nav.toolbar button#reload').click()
    assert hours_in_sight(radiographer) == hours
    shown.click()
    radiographer.within('.form').first.wait_for()
    radiographer.within('nav.toolbar button#switch_').click()
    radiographer.within('.fc-view').wait_for()
    assert hours_in_sight(radiographer) == hours


def test_step_is_dragged_to_another_day(radiographer, add_step):
    step = add_step(JAPANESE, 'XR-CHEST', 11)
    open_calendar(radiographer)
    radiographer.within('.fc-agendaWeek-button').click()
    shown = event(radiographer, "見本, 花子")
    shown.wait_for()
    radiographer.settle()
    # Not out of the week that is shown
    days = -1 if step.scheduled_at.weekday() == 5 else 1
    start, duration = step.scheduled_at, step.duration

    def moved():
        step.reload()
        return step.scheduled_at.date() == (
            start + dt.timedelta(days=days)).date()
    drag_until(radiographer, shown, moved, days=days)
    assert step.duration == duration


def test_it_asks_before_it_moves_what_is_in_progress(radiographer, add_step):
    step = add_step(KOFI, 'CT-HEAD', 14)
    step.click('start')
    start = step.scheduled_at
    open_calendar(radiographer)
    shown = event(radiographer, "In Progress")
    shown.wait_for()
    radiographer.settle()
    dialogs = radiographer.page.locator('.modal:visible')
    drag_until(radiographer, shown, dialogs.count, hours=2)
    expect(radiographer.dialog()).to_contain_text("is in progress")
    radiographer.press("No")
    radiographer.expect_no_dialog()
    # It goes back to where it was
    expect(shown).to_have_count(1)
    expect(shown.locator('.fc-time')).to_contain_text('14:00')
    step.reload()
    assert step.scheduled_at == start
    drag_until(radiographer, shown, dialogs.count, hours=2)
    radiographer.press("Yes")
    radiographer.expect_no_dialog()

    def moved():
        step.reload()
        # To five minutes, as the mouse goes
        return step.scheduled_at > start + dt.timedelta(hours=1)
    assert wait_until(moved, TIMEOUT)


def test_what_is_completed_cannot_be_dragged(radiographer, add_step):
    step = add_step(KOFI, 'US-ABDOMEN', 16)
    add_step(KOFI, 'MR-KNEE', 17)
    step.click('complete')
    open_calendar(radiographer)
    event(radiographer, "Completed").first.wait_for()
    expect(radiographer.page.locator(
            f'{ACTIVE} .fc-event.fc-draggable', has_text="Completed")
        ).to_have_count(0)
    expect(radiographer.page.locator(
            f'{ACTIVE} .fc-event.fc-draggable', has_text="Scheduled")
        ).not_to_have_count(0)


def test_tabs_of_a_dozen_devices_are_in_sight(radiographer):
    open_calendar(radiographer)
    tabs = radiographer.within('.tab-domain')
    tabs.evaluate("""tabs => {
        const list = tabs.querySelector('ul');
        for (let number = 0; number < 8; number++) {
            list.append(list.children[1].cloneNode(true));
        }
    }""")
    assert tabs.evaluate("""tabs => {
        const edge = tabs.getBoundingClientRect().right;
        return [...tabs.querySelectorAll('li')].filter(
            tab => tab.getBoundingClientRect().right > edge + 1).length;
    }""") == 0
