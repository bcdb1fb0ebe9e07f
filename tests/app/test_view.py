"""The view across pages and in the address, under AppTest."""

from __future__ import annotations

from helpers.app_pages import open_page, shown_value, the_request
from helpers.made_study import make_study


def test_the_view_survives_a_change_of_page_and_is_in_the_address(cache):
    make_study(cache)
    app = open_page("pages/prune.py")
    app.slider(key="widget.gamma").set_value(0.5).run()
    app.get("button_group")[0].set_value("religion").run()
    app.switch_page("pages/heads.py").run()
    assert app.get("button_group")[0].value == "religion"
    app.switch_page("pages/prune.py").run()
    assert app.get("button_group")[0].value == "religion"
    assert app.slider(key="widget.gamma").value == 0.5
    assert app.query_params["gamma"] == "0.50"


def test_a_link_opens_the_same_view(cache):
    make_study(cache)
    app = open_page("pages/prune.py", study="default", axis="religion", gamma="0.45", alpha="0.20")
    assert (shown_value(app.slider, "gamma"), shown_value(app.slider, "alpha")) == (0.45, 0.2)
    assert the_request(cache).target.streams == ("religion",)
