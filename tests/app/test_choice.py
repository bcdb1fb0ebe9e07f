"""Choosing heads on the Prune page, under AppTest: undo."""

from __future__ import annotations

from helpers.app_pages import all_text, button, open_page
from helpers.made_study import make_study


def test_undo_is_one_step_a_set_however_many_sliders_led_to_it(cache):
    make_study(cache)
    app = open_page("pages/prune.py", alpha="0.10")  # two of 24 heads
    for alpha in (0.11, 0.12, 0.13, 0.14, 0.15, 0.16):  # two, then three
        next(s for s in app.slider if s.key.startswith("widget.alpha")).set_value(alpha).run()
    assert "3 of 24 heads pruned" in all_text(app)
    button(app, "Undo").click().run()
    assert "2 of 24 heads pruned" in all_text(app)
    assert button(app, "Undo").disabled
