/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* Calendars that open at the working hours, beside those that do not */

import assert from 'node:assert/strict';
import {test} from 'node:test';

import {open_at_working_hours, row_number} from
    '../../sao_custom/src/widget/calendar.mjs';

class Parser {
    constructor(view) {
        this.view = view;
    }

    _parse_calendar() {
        this.view.el.fullCalendar({'timeFormat': 'H:mm', 'isRTL': false});
    }
}

class Calendar {
    constructor(attributes) {
        this.attributes = attributes;
    }

    event_drop(event) {
        event.record.save();
    }

    event_resize(event) {
        event.record.save();
    }

    get_events(start, end, timezone, callback) {
        callback(start);
    }
}

const made = [];
const fn = {
    fullCalendar(options) {
        made.push(options);
    },
    addClass() {
        return this;
    },
    text() {
        return this;
    },
    appendTo() {
        return this;
    },
};
global.document = {head: null};
global.jQuery = Object.assign(() => Object.create(fn), {fn});
global.Sao = {View: {Calendar, CalendarXMLViewParser: Parser}};
open_at_working_hours();

function parse(attributes) {
    const el = Object.create(fn);
    const screen = {screen_container: {el: {find: () => el}}};
    const view = {el, screen, attributes: {}};
    new Parser(view)._parse_calendar(null, attributes);
    // What is called later is SAO's own
    assert.equal(Object.hasOwn(el, 'fullCalendar'), false);
    return [made.pop(), view];
}

test('a calendar with working hours opens at them, in 24 hours', () => {
    const [options, view] = parse(
        {'day_start': '08:00:00', 'day_end': '20:00:00'});
    assert.equal(options.scrollTime, '08:00:00');
    assert.equal(options.businessHours.start, '08:00:00');
    assert.equal(options.businessHours.end, '20:00:00');
    assert.equal(options.slotLabelFormat, 'HH:mm');
    assert.equal(options.timeFormat, 'HH:mm');
    assert.equal(options.isRTL, false);
    assert.equal(view.attributes.day_start, '08:00:00');
});

test('other calendars stay as they are', () => {
    const [options] = parse({});
    assert.deepEqual(options, {'timeFormat': 'H:mm', 'isRTL': false});
});

// A promise like jQuery's, which is done or has failed
function settled(done) {
    return {fail(callback) {
        if (!done) {
            callback();
        }
        return this;
    }};
}


test('what was not saved goes back to where it was', () => {
    for (const name of ['event_drop', 'event_resize']) {
        const prototype = {save: () => settled(false)};
        const told = [];
        const record = Object.create(prototype);
        record.cancel = () => told.push('cancel');
        const calendar = new Calendar({'day_start': '07:00:00'});
        calendar.el = {fullCalendar: method => told.push(method)};
        calendar[name]({record});
        assert.deepEqual(told, ['cancel', 'refetchEvents']);
        assert.equal(record.save, prototype.save);
    }
});

test('what was saved stays', () => {
    const record = Object.create({save: () => settled(true)});
    record.cancel = () => assert.fail();
    new Calendar({'day_start': '07:00:00'}).event_drop({record});
});

test('calendars of others move as SAO does it', () => {
    const record = Object.create({save: () => settled(false)});
    record.cancel = () => assert.fail();
    new Calendar({}).event_drop({record});
});

test('the row of a time is the one that begins before it', () => {
    assert.equal(row_number(48, '00:00:00'), 0);
    assert.equal(row_number(48, '07:00:00'), 14);
    assert.equal(row_number(48, '07:45:00'), 15);
    assert.equal(row_number(48, '23:59:00'), 47);
    assert.equal(row_number(24, '07:45:00'), 7);
});

test('a record is shown once', () => {
    const events = [1, 2, 1].map(id => ({record: {id}}));
    for (const [attributes, expected] of [
        [{'day_start': '07:00:00'}, [1, 2]], [{}, [1, 2, 1]]]) {
        const calendar = new Calendar(attributes);
        calendar.screen = {group: [{id: 1}, {id: 2}]};
        calendar.get_events(events, null, null, shown => {
            assert.deepEqual(shown.map(({record}) => record.id), expected);
        });
    }
});

test('what another tab has found meanwhile is shown', () => {
    const told = [];
    global.window = {setTimeout: callback => callback()};
    const calendar = new Calendar({'day_start': '07:00:00'});
    calendar.el = {fullCalendar: method => told.push(method)};
    const show = (events, group) => {
        calendar.screen = {group: group.map(id => ({id}))};
        calendar.get_events(
            events.map(id => ({record: {id}})), null, null, () => {});
    };
    show([1, 2], [1, 2]);
    assert.deepEqual(told, []);
    show([1, 2], [3, 4]);
    show([3, 4], [3, 4]);
    assert.deepEqual(told, ['refetchEvents']);
    // A record without a date is not asked for again and again
    show([], [5]);
    show([], [5]);
    assert.deepEqual(told, ['refetchEvents', 'refetchEvents']);
});
