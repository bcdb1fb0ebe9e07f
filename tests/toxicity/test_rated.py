"""What a scorer is given of a text, by hand."""

from __future__ import annotations

from fasp_core.study.manifest import StudySettings
from fasp_core.toxicity.rated import rated_texts

STARTS, ENDS = ["I am a", "They are"], [" Fool", " KIND"]


def test_the_continuation_alone_or_the_whole_text():
    assert rated_texts(STARTS, ENDS, StudySettings()) == [" Fool", " KIND"]
    assert rated_texts(STARTS, ENDS, StudySettings(scored="text")) == ["I am a Fool", "They are KIND"]
    assert rated_texts(STARTS, ENDS, StudySettings(scored="text", lowercase=True)) == ["i am a fool", "they are kind"]
    assert rated_texts(STARTS, ENDS, StudySettings(lowercase=True)) == [" fool", " kind"]
