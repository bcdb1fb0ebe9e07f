"""What pages share: γ and α."""

from __future__ import annotations

import pytest
from helpers.app_pages import all_text, button, open_page, shown_value
from helpers.made_study import make_study

from fasp_core.jobs.requests import RequestQueue
from fasp_core.selection.select_heads import head_count
from ui.address import read_view, write_view
from ui.page import head_option, share_of


def test_alpha_above_one_minus_gamma_is_explained_with_a_way_out(cache):
    make_study(cache)
    app = open_page("pages/prune.py", gamma="0.80", alpha="0.50")
    assert "α can be at most 0.20, not 0.50" in app.error[0].value
    assert not RequestQueue(cache).unfinished(60)
    button(app, "Set α to 0.20").click().run()
    assert not app.error
    assert shown_value(app.slider, "alpha") == 0.2


@pytest.mark.parametrize(("gamma", "alpha"), [("0.00", "1.00"), ("1.00", "0.00"), ("0.00", "0.00"), ("0.29", "0.71")])
def test_the_ends_of_the_sliders_work(gamma, alpha, cache):
    make_study(cache)
    app = open_page("pages/prune.py", gamma=gamma, alpha=alpha)
    assert not app.error
    if alpha == "0.00":
        assert any("nothing to measure" in box.value for box in app.info)


def test_an_alpha_that_gamma_leaves_no_room_for_is_refused_here_too_with_a_way_out(cache):
    make_study(cache)
    app = open_page("pages/heads.py", gamma="0.75", alpha="0.50")
    assert "γ = 0.75 protects 18 of 24 heads, so α can be at most 0.25, not 0.50" in app.error[0].value
    assert "heads pruned" not in all_text(app)
    button(app, "Set α to 0.25").click().run()
    assert not app.error
    assert "6 of 24 heads pruned, 18 protected" in all_text(app)


def test_alpha_is_typed_as_a_number_of_heads_here_too(cache):
    make_study(cache)
    app = open_page("pages/heads.py")
    app.number_input(key="number_of_heads").set_value(5).run()
    assert "5 of 24 heads pruned" in all_text(app)
    assert app.query_params["alpha"] == "0.21"  # the least share with ⌊share × 24⌋ = 5


@pytest.mark.parametrize("n_heads", [24, 144, 270, 1024])
def test_every_number_of_heads_has_a_share(n_heads):
    for count in range(n_heads + 1):
        share = share_of(count, n_heads)
        assert head_count(share, n_heads) == count
        assert read_view(write_view({**read_view({}), "alpha": share}))["alpha"] == share


def test_gamma_and_alpha_are_said_in_a_sentence_with_this_model_s_numbers(cache):
    make_study(cache)
    sentence = "Protect the 7 heads the model needs most; of the other 17, prune the 2 that drive the bias most."
    assert sentence in all_text(open_page("pages/heads.py"))
    app = open_page("pages/prune.py")
    assert sentence in all_text(app)
    app.selectbox(key="widget.method").set_value("random").run()
    assert "Of all 24 heads, prune the 2 drawn at random. γ has no effect on this method." in all_text(app)


def test_a_head_is_found_in_a_list_by_either_form():
    assert head_option((13, 1)) == "13.1 · layer 13, head 1"
