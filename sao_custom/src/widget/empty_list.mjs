/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* Empty lists say what would be here, and what to do */

const EMPTY_CLASS = 'health-orthanc-empty';

/**
 * Return what an empty list says.
 *
 * @param {Object} texts - from the view: `titles` by tabs and panels, `list`,
 *     `search`
 * @param {string} title - of the tab or panel, if there is one
 * @param {boolean} searched - whether something is entered in the search
 * @returns {string} empty if there is nothing to say
 */
export function choose_text(texts, title, searched) {
    if (searched) {
        return texts.search;
    }
    return texts.titles[title] || texts.list || '';
}

/** Let lists whose view has texts say them while they are empty. */
export function explain_empty_lists() {
    const parser = Sao.View.TreeXMLViewParser.prototype;
    const parse_tree = parser._parse_tree;
    parser._parse_tree = function(node, attributes) {
        if (attributes.empty) {
            this.view.empty_texts = JSON.parse(attributes.empty);
        }
        parse_tree.call(this, node, attributes);
    };
    const tree = Sao.View.Tree.prototype;
    const display = tree.display;
    tree.display = function(...args) {
        const displayed = display.apply(this, args);
        if (this.empty_texts) {
            jQuery.when(displayed).then(() => show_text(this));
        }
        return displayed;
    };
    const screen = Sao.Screen.prototype;
    const search_filter = screen.search_filter;
    screen.search_filter = function(search_string, only_ids) {
        return search_filter.call(this, search_string, only_ids).then(
            result => {
                if (!only_ids) {
                    // Before, nobody knows whether it is empty
                    this.has_searched = true;
                    const view = this.current_view;
                    if (view && view.empty_texts) {
                        show_text(view);
                    }
                }
                return result;
            });
    };
}

function show_text(view) {
    const {screen, treeview} = view;
    const known = screen.group.parent ?
        !is_choice(screen.group) : screen.has_searched;
    const text = known && !screen.group.length ? choose_text(
        view.empty_texts, find_title(view), !screen.group.parent &&
            Boolean(screen.screen_container.get_text())) : '';
    let shown = treeview.children('.' + EMPTY_CLASS);
    if (!shown.length) {
        shown = jQuery('<p/>', {
            'class': 'help-block text-center ' + EMPTY_CLASS,
            'role': 'status',
        }).css('padding', '0 16px').appendTo(treeview);
    }
    if (shown.text() !== text) {
        shown.text(text);
    }
    shown.toggle(Boolean(text));
}

/** Return whether a group is what somebody has chosen in a form.

    That none is chosen does not mean that there are none. */
export function is_choice({parent, child_name}) {
    const description = parent.model?.fields[child_name]?.description;
    return description?.type === 'many2many' && !description.readonly;
}

/** Return the name of the tab, or of the panel of a board. */
function find_title({screen, el}) {
    const {screen_container} = screen;
    const panel = el.closest('.board-action').children('.panel-heading');
    const index = screen_container.get_tab_index();
    return panel.text() ||
        (index >= 0 ? screen_container.tab_domain[index][0] : '');
}
