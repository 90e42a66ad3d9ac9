/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* Calendars whose view tells the working hours */

import {add_style} from './style.mjs';

// As the client shows times in all languages
const TIME = 'HH:mm';
const CALENDAR_CLASS = 'health-orthanc-calendar';
const DEVICES_CLASS = 'health-orthanc-devices';
// A day fits on a small screen, and steps stand out from today's background
const STYLE = `
.${DEVICES_CLASS} > .nav-tabs { flex-wrap: wrap; width: 100% !important; }
.${DEVICES_CLASS} .badge[style*="hidden"] { display: none; }
.${CALENDAR_CLASS} .fc-time-grid .fc-slats td {
    font-size: 11px; height: 16px; line-height: 1; }
.${CALENDAR_CLASS} .fc-time-grid-event .fc-content,
.${CALENDAR_CLASS} .fc-time-grid-event .fc-time,
.${CALENDAR_CLASS} .fc-time-grid-event .fc-title {
    font-size: 12px; line-height: 1.2; white-space: normal; }
.${CALENDAR_CLASS} .fc-short .fc-content {
    overflow: hidden; text-overflow: ellipsis; }
.${CALENDAR_CLASS} .fc-short .fc-content,
.${CALENDAR_CLASS} .fc-short .fc-title { white-space: nowrap; }
.${CALENDAR_CLASS} .fc-short .fc-title { display: inline; }
.${CALENDAR_CLASS} .fc-event .fc-bg { display: none; }
.${CALENDAR_CLASS} .fc-today {
    background: #f4f9f9 !important; color: inherit; }
.${CALENDAR_CLASS} .fc-nonbusiness { background: #9e9e9e; }
.${CALENDAR_CLASS} .fc-toolbar h2 { font-size: 20px; line-height: 1.6; }
.${CALENDAR_CLASS} .fc-toolbar.fc-header-toolbar { margin-bottom: 4px; }`;

/** Return what a calendar is to be made with, beside what SAO passes. */
export function calendar_options({day_start, day_end}) {
    return {
        'allDaySlot': false,
        'businessHours': {
            'dow': [0, 1, 2, 3, 4, 5, 6],
            'start': day_start,
            'end': day_end,
        },
        'nowIndicator': true,
        'scrollTime': day_start,
        'slotEventOverlap': false,
        'slotLabelFormat': TIME,
        'snapDuration': '00:05:00',
        'timeFormat': TIME,
    };
}

/** Return the number of the row of a day in which a time is.

    What the rows themselves say is in the digits of the language. */
export function row_number(rows, time) {
    const [hours, minutes] = time.split(':').map(Number);
    return Math.floor(rows * (60 * hours + minutes) / (24 * 60));
}

/** Return the events without those that SAO has added twice.

    It does so when it loads them again before it has got them. */
export function each_record_once(events) {
    const seen = new Set();
    return events.filter(({record}) => {
        const known = seen.has(record.id);
        seen.add(record.id);
        return !known;
    });
}

/** Open such calendars at the working hours, and undo what is not saved. */
export function open_at_working_hours() {
    add_options(Sao.View.CalendarXMLViewParser.prototype);
    const calendar = Sao.View.Calendar.prototype;
    const get_events = calendar.get_events;
    calendar.get_events = function(start, end, timezone, callback) {
        get_events.call(this, start, end, timezone, events => {
            if (this.attributes.day_start) {
                callback(each_record_once(events));
                fetch_what_was_found_meanwhile(this, events);
            } else {
                callback(events);
            }
        });
    };
    const display = calendar.display;
    calendar.display = function(...args) {
        const result = display.apply(this, args);
        if (this.attributes.day_start) {
            scroll(this);
        }
        return result;
    };
    for (const name of ['event_drop', 'event_resize']) {
        const moved = calendar[name];
        calendar[name] = function(event, ...rest) {
            if (this.attributes.day_start) {
                undo_unless_saved(event.record, this.el);
            }
            moved.call(this, event, ...rest);
        };
    }
}

function add_options(parser) {
    const parse_calendar = parser._parse_calendar;
    parser._parse_calendar = function(node, attributes) {
        const {view} = this;
        if (!attributes.day_start) {
            parse_calendar.call(this, node, attributes);
            return;
        }
        // SAO only knows it by its name with a prefix
        view.attributes.day_start = attributes.day_start;
        add_style('calendar', STYLE);
        // A dozen of devices has a dozen of tabs
        view.screen.screen_container.el.find('.tab-domain').addClass(
            DEVICES_CLASS);
        const el = view.el.addClass(CALENDAR_CLASS);
        el.fullCalendar = options => jQuery.fn.fullCalendar.call(el, {
            ...options, ...calendar_options(attributes),
            'eventAfterAllRender': () => scroll(view),
        });
        try {
            parse_calendar.call(this, node, attributes);
        } finally {
            // Only SAO's first call was meant
            delete el.fullCalendar;
        }
    };
}

/** Scroll to the working hours when another day or device is shown.

    SAO makes the calendar before it can be seen, and takes it to its first
    hour whenever it shows it again: then it goes to where it was. */
function scroll(view) {
    const scroller = view.el.find('.fc-time-grid-container');
    if (!scroller.is(':visible')) {
        return;
    }
    const {name, start} = view.el.fullCalendar('getView');
    const tab = view.screen.screen_container.get_tab_index();
    const period = `${tab} ${name} ${start.format()}`;
    if (view.scrolled_to !== period) {
        view.scrolled_to = period;
        const rows = scroller.find('.fc-slats tr');
        view.scroll_top = rows[
            row_number(rows.length, view.attributes.day_start)].offsetTop;
    }
    scroller.scrollTop(view.scroll_top);
    scroller.off('scroll.health_orthanc').on('scroll.health_orthanc', () => {
        view.scroll_top = scroller.scrollTop();
    });
}

/** Get the events again if they are not those of the records found.

    Who chooses another tab before SAO has got the events of the first one
    would see them under the second.  Records without a date have no event. */
function fetch_what_was_found_meanwhile(view, events) {
    const found = Array.from(view.screen.group, ({id}) => id);
    const shown = new Set(events.map(({record}) => record.id));
    const agree = (found.length === shown.size) &&
        found.every(id => shown.has(id));
    const key = agree ? null : found.join();
    if (key !== (view.fetched_for || null)) {
        view.fetched_for = key;
        if (!agree) {
            window.setTimeout(() => view.el.fullCalendar('refetchEvents'));
        }
    }
}

/** Let a record that the server does not accept be as it was.

    The calendar's own way to take it back would show it twice. */
function undo_unless_saved(record, el) {
    record.save = (...args) => {
        delete record.save;
        return record.save(...args).fail(() => {
            record.cancel();
            el.fullCalendar('refetchEvents');
        });
    };
}
