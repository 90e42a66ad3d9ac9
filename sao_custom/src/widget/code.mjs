/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* Texts that are code: a font of fixed width, and numbers of lines */

const FONT = {
    'direction': 'ltr',
    'font-family': 'monospace',
    'line-height': '1.4',
    'padding-top': '4px',
    'white-space': 'pre',
};

/** Return the numbers of the lines of a text, one a line. */
export function line_numbers(text) {
    return text.split('\n').map((_, index) => index + 1).join('\n');
}

/** Show texts that a view marks so as code. */
export function show_code() {
    const widget = Sao.View.Form.Text.prototype;
    const {init, display} = widget;
    widget.init = function(view, attributes) {
        init.call(this, view, attributes);
        if (attributes.code) {
            add_numbers(this);
        }
    };
    widget.display = function() {
        display.call(this);
        if (this.number_lines) {
            this.number_lines();
        }
    };
}

function add_numbers(widget) {
    const numbers = jQuery('<div/>', {'aria-hidden': true}).css({
        ...FONT,
        'color': '#757575',
        'flex': 'none',
        'overflow': 'hidden',
        'padding-right': '8px',
        'text-align': 'right',
    });
    widget.group.css({
        'direction': 'ltr', 'display': 'flex', 'height': '100%',
    }).prepend(numbers);
    widget.input.css({...FONT, 'overflow-x': 'auto'}).attr(
        {'spellcheck': 'false', 'wrap': 'off'});
    const follow = () => numbers.scrollTop(widget.input.scrollTop());
    widget.number_lines = () => {
        numbers.text(line_numbers(widget.input.val() || ''));
        // As high as the text, which decides the height
        numbers.css('max-height', widget.input.outerHeight() || '');
        follow();
    };
    widget.input.on('input', widget.number_lines).on('scroll', follow);
}
