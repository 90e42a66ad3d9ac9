# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody does in GNU Health's GTK client: menus, fields, and lists.

Each function returns a step: a function that is true when it is done.  What is
used is what a person sees: labels, titles of columns, and texts.
"""
import gi
from gtk_person import GLib, Gtk, button, press, widgets

gi.require_version('Gdk', '3.0')
from gi.repository import Gdk  # noqa: E402

__all__ = [
    'add_record', 'cells', 'choose', 'choose_record', 'enter', 'front',
    'headers', 'menu', 'message', 'open_row', 'page', 'press', 'press_in_row',
    'row', 'search', 'shows', 'tab']


def later(act):
    "Do something that may have a loop of its own"
    GLib.idle_add(lambda: act() and False)
    return True


def send_key(widget, keyval):
    "Press a key where a widget has the focus"
    widget.grab_focus()
    display = Gdk.Display.get_default()
    _, keys = Gdk.Keymap.get_for_display(display).get_entries_for_keyval(
        keyval)
    event = Gdk.Event.new(Gdk.EventType.KEY_PRESS)
    event.window = widget.get_toplevel().get_window()
    event.send_event = True
    event.keyval = keyval
    event.hardware_keycode = keys[0].keycode
    event.set_device(display.get_default_seat().get_keyboard())
    return later(lambda: Gtk.main_do_event(event))


def front():
    "Return the window that everything else waits for"
    dialogs = [
        window for window in widgets(Gtk.Window)
        if window.get_modal() or isinstance(window, Gtk.Dialog)]
    if dialogs:
        return dialogs[-1]
    return max(
        widgets(Gtk.Window), key=lambda w: w.get_allocated_width(),
        default=None)


# --- Lists --------------------------------------------------------------

def headers(tree):
    return [
        label.get_text() for column in tree.get_columns()
        if column.get_button() for label in widgets(
            Gtk.Label, column.get_button())]


def cells(tree, iter_):
    "Return the texts that the columns of a row show"
    model, shown = tree.get_model(), []
    for column in tree.get_columns():
        if column.get_visible():
            column.cell_set_cell_data(model, iter_, False, False)
            shown += [
                cell.get_property('text') or '' for cell in column.get_cells()
                if isinstance(cell, Gtk.CellRendererText)
                and cell.get_property('visible')]
    return shown


def _menu_tree():
    from gnuhealth.gui import Main
    menu = Main().menu_screen
    return menu and menu.current_view and menu.current_view.treeview


def trees():
    "Return the lists of the window in front, but for the menu"
    window = front()
    return [
        tree for tree in widgets(Gtk.TreeView, window)
        if tree is not _menu_tree()] if window else []


def row(*texts):
    "Return the list and the place of the first row with texts, or None"
    for tree in trees():
        model = tree.get_model()
        for line in model or ():
            shown = '\n'.join(cells(tree, line.iter))
            if all(text in shown for text in texts):
                return tree, line.path
    return None


def shows(*texts):
    return lambda: row(*texts)


def open_row(*texts):
    def opened():
        found = row(*texts)
        if found:
            tree, path = found
            tree.set_cursor(path)
            send_key(tree, Gdk.KEY_Return)
        return found
    return opened


def press_in_row(title, *texts):
    "Press the button of a row by the title of its column"
    def pressed():
        found = row(*texts)
        if not found:
            return False
        tree, path = found
        for column in tree.get_columns():
            if title in [
                    label.get_text() for label in widgets(
                        Gtk.Label, column.get_button())]:
                column.cell_set_cell_data(
                    tree.get_model(), tree.get_model().get_iter(path), False,
                    False)
                for cell in column.get_cells():
                    if cell.get_property('visible') and cell.get_property(
                            'sensitive'):
                        return later(
                            lambda: cell.emit('clicked', str(path)))
        return False
    return pressed


# --- Menu, tabs and pages -----------------------------------------------

def menu(*names):
    "Unfold the menu, and open the last of the names"
    def opened():
        tree = _menu_tree()
        if not tree:
            return False
        model = tree.get_model()
        rows = model
        for depth, name in enumerate(names):
            found = [
                line for line in rows
                if name in cells(tree, line.iter)]
            if not found:
                return False
            path = found[0].path
            if depth + 1 < len(names):
                if not tree.row_expanded(path):
                    tree.expand_row(path, False)
                    return False
                rows = found[0].iterchildren()
        tree.set_cursor(path)
        return send_key(tree, Gdk.KEY_Return)
    return opened


def page(name):
    "Turn to a page of a notebook: of a form, or of the tabs above a list"
    def turned():
        for notebook in widgets(Gtk.Notebook, front()):
            for number in range(notebook.get_n_pages()):
                child = notebook.get_nth_page(number)
                label = notebook.get_tab_label(child)
                if label and any(
                        text.get_text().startswith(name)
                        for text in widgets(Gtk.Label, label)):
                    notebook.set_current_page(number)
                    return True
        return False
    return turned


tab = page


# --- Fields -------------------------------------------------------------

def _field(label):
    "Return what a label is for, if it can be used"
    for widget in widgets(Gtk.Label, front()):
        if widget.get_text().rstrip(':') == label:
            field = widget.get_mnemonic_widget()
            if field and field.get_mapped() and field.is_sensitive():
                return field
    return None


def _has_focus(window):
    "Return whether a window has the focus, which a window manager gives it"
    if not window.has_toplevel_focus():
        window.get_window().focus(Gdk.CURRENT_TIME)
    return window.has_toplevel_focus()


def enter(label, text):
    "Type a text over what is in a field"
    def entered():
        field = _field(label)
        if not field or not _has_focus(field.get_toplevel()):
            return False
        field.grab_focus()
        if isinstance(field, Gtk.TextView):
            field.get_buffer().set_text(text)
        else:
            field.set_text(text)
        # Not by Enter, which is for the button of a dialog
        field.get_toplevel().child_focus(Gtk.DirectionType.TAB_FORWARD)
        return True
    return entered


def choose(label, text):
    "Look for a record by a text, by the sign in its field"
    def looking():
        field = _field(label)
        if not field:
            return False
        field.grab_focus()
        field.set_text(text)
        return later(lambda: field.emit(
                'icon-press', Gtk.EntryIconPosition.SECONDARY, None))
    return looking


def add_record(text):
    "Look for a record to add to the list in front"
    def looking():
        add = button("Add existing record", front())
        if not add:
            return False
        entry = widgets(Gtk.Entry, add.get_parent())[0]
        entry.set_text(text)
        return later(add.clicked)
    return looking


def choose_record(*texts):
    "Choose what was looked for in the window that shows it"
    def chosen():
        if not button("OK", front()):
            return False
        found = row(*texts)
        if found:
            tree, path = found
            tree.get_selection().unselect_all()
            tree.set_cursor(path)
            tree.get_selection().select_path(path)
            later(button("OK", front()).clicked)
        return found
    return chosen


def search(text):
    "Search in the list of the tab in front"
    def searched():
        for entry in widgets(Gtk.Entry, front()):
            if entry.get_placeholder_text() == "Search" and trees():
                entry.set_text(text)
                entry.activate()
                return True
        return False
    return searched


def message(*texts):
    "Return a step: that the window in front has texts in its fields"
    def told():
        shown = [label.get_text() for label in widgets(Gtk.Label, front())]
        for view in widgets(Gtk.TextView, front()):
            content = view.get_buffer()
            shown.append(content.get_text(
                    content.get_start_iter(), content.get_end_iter(), True))
        shown += [entry.get_text() for entry in widgets(Gtk.Entry, front())]
        return all(any(text in one for one in shown) for text in texts)
    return told
