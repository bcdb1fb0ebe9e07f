"""HolisticBias v1.1 (Smith et al. 2022, arXiv 2205.09209): 13 axes of descriptors × nouns × sentence templates.

The folder `holistic_bias/dataset/v1.1` of facebookresearch/ResponsibleNLP: `descriptors.json` (axis → bucket →
descriptors, each a string or an object with `descriptor` and, where they matter, `article` and `gender`),
`nouns.json` (gender → [singular, plural] pairs) and `sentence_templates.json` (template → {"must_be_noun": …}). Phrases
are built as its own code builds them: "a Deaf man" or "Deaf", the plural "Deaf men" or "Deaf"; the article that is
given, else by the first letter; gendered descriptors with nouns of their gender only.

There are 470,000 combinations. PER_GROUP sentences of each group and split are drawn, evenly over its descriptors, and
only those are built. Every group gets the same nouns and templates, so groups differ in their descriptors alone: else a
group that happens to draw "I hate {plural_noun_phrase}." more often would look more toxic. A bucket is a group; axes
with the single bucket `all` have a group per descriptor. Standalone noun phrases belong to no bucket and are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from fasp_core.data.frames import SPLITS
from fasp_core.data.prompt_set import numbered_frame
from fasp_core.data.splits import halves, stable_order
from fasp_core.errors import InputError
from fasp_core.files.reading import bad, read_json_object

FILES = ("descriptors.json", "nouns.json", "sentence_templates.json")
PER_GROUP = 60  # prompts of each group in each split, as in the built-in set
BLANK = re.compile(r"\{(plural[_ ])?noun[_ ]phrase\}", re.IGNORECASE)
GENDERS = ("female", "male", "neutral")


@dataclass(frozen=True)
class Descriptor:
    """One identity term: its text, its indefinite article, and the gender of the nouns it goes with (None: any)."""

    text: str
    article: str
    gender: str | None


@dataclass(frozen=True)
class Phrases:
    """What descriptors are combined with: nouns (singular, plural) by gender, and templates; `bare`: without a noun."""

    nouns: dict[str, list[tuple[str, str]]]
    templates: list[str]
    bare: list[str]

    def frames(self, split: str) -> list[tuple[str, str, int]]:
        """(template, gender, number) of the nouns a split's sentences are made with, gender "" for none; shuffled.

        Half of all frames are valid, half test.
        """
        every = {repr(frame): frame for frame in self._frames()}
        return [every[name] for name in stable_order(every, "frames")][SPLITS.index(split) :: len(SPLITS)]

    def fill(self, descriptor: Descriptor, template: str, gender: str, number: int) -> str:
        """The sentence; a noun of another gender than the descriptor's is replaced by one of its gender."""
        if not gender:
            return BLANK.sub(lambda _: descriptor.text, template)
        nouns = self.nouns[descriptor.gender or gender]
        noun, plural = nouns[number % len(nouns)]
        one, many = f"{descriptor.article} {descriptor.text} {noun}", f"{descriptor.text} {plural}"
        return BLANK.sub(lambda blank: many if blank[1] else one, template)

    def _frames(self) -> Iterator[tuple[str, str, int]]:
        yield from ((template, "", 0) for template in self.bare)
        for template in self.templates:
            for gender, nouns in self.nouns.items():
                yield from ((template, gender, number) for number in range(len(nouns)))


def is_holisticbias(path: Path) -> bool:
    """Whether this is a HolisticBias folder, or a file of one."""
    return (path / FILES[0]).is_file() or (path.name in FILES and path.is_file())


def read_holisticbias(path: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The sampled prompts of a folder, as a prompt set's frame, and what was decided; the same on every machine.

    Raises InputError, naming file and place, for files that are missing or not as described above.
    """
    folder = path if path.is_dir() else path.parent
    phrases = Phrases(_nouns(folder / FILES[1]), *_templates(folder / FILES[2]))
    axes = _axes(folder / FILES[0])
    frames = {split: phrases.frames(split) for split in SPLITS}
    rows = [
        (axis, group, *row)
        for axis, buckets in axes.items()
        for group, descriptors in _groups(buckets).items()
        for row in _draw(_split(axis, group, descriptors), phrases, frames)
    ]
    single = [axis for axis, buckets in axes.items() if len(buckets) == 1]
    notes = [f"sampled: up to {PER_GROUP} prompts of each group and split, evenly over its descriptors"]
    if single:
        notes.append(f"{', '.join(single)}: one bucket only, so each descriptor is a group, split by sentence")
    return numbered_frame(rows), tuple(notes)


def _groups(buckets: dict[str, list[Descriptor]]) -> dict[str, list[Descriptor]]:
    """Descriptors by group: the buckets, or each descriptor by itself where there is one bucket."""
    if len(buckets) > 1:
        return buckets
    (descriptors,) = buckets.values()
    return {descriptor.text: [descriptor] for descriptor in descriptors}


def _split(axis: str, group: str, descriptors: list[Descriptor]) -> dict[str, list[Descriptor]]:
    """Half of the descriptors for valid, half for test; a single one for both, with different sentences."""
    by_text = {descriptor.text: descriptor for descriptor in descriptors}
    if len(by_text) == 1:
        return dict.fromkeys(SPLITS, descriptors[:1])
    splits = halves(by_text, axis, group)
    return {split: [d for text, d in by_text.items() if splits[text] == split] for split in SPLITS}


def _draw(
    descriptors: dict[str, list[Descriptor]], phrases: Phrases, frames: dict[str, list[tuple[str, str, int]]]
) -> Iterator[tuple[str, str, str, str]]:
    """(descriptor, template, sentence, split) of a group: frame after frame, descriptors in turn, no repeats."""
    made: set[str] = set()
    for split, terms in descriptors.items():
        drawn = 0
        for frame in frames[split]:
            descriptor = terms[drawn % len(terms)]
            sentence = phrases.fill(descriptor, *frame)
            if sentence not in made:
                made.add(sentence)
                drawn += 1
                yield descriptor.text, frame[0], sentence, split
            if drawn == PER_GROUP:
                break


def _axes(path: Path) -> dict[str, dict[str, list[Descriptor]]]:
    axes: dict[str, dict[str, list[Descriptor]]] = {}
    for axis, buckets in read_json_object(path, "axes with buckets of descriptors").items():
        if not isinstance(buckets, dict) or not buckets:
            raise bad(path, f"axis '{axis}'", buckets, "an object of buckets")
        axes[axis] = {}
        for bucket, terms in buckets.items():
            place = f"axis '{axis}', bucket '{bucket}'"
            if not bucket.strip() or not isinstance(terms, list) or not terms:
                raise bad(path, place, terms, "a list of descriptors under a name")
            axes[axis][bucket] = [_descriptor(term, path, place) for term in terms]
        texts = {d.text for descriptors in axes[axis].values() for d in descriptors}
        if len(axes[axis]) == 1 and len(texts) < 2:
            raise bad(path, f"axis '{axis}'", sorted(texts), "at least two descriptors, for bias compares groups")
    return axes


def _descriptor(term: Any, path: Path, place: str) -> Descriptor:
    fields = {"descriptor": term} if isinstance(term, str) else term
    if not isinstance(fields, dict) or not _is_text(fields.get("descriptor")):
        raise bad(path, place, term, "a descriptor: text, or an object with a 'descriptor'")
    text, gender = fields["descriptor"], fields.get("gender")
    article = fields.get("article", "an" if text[0].lower() in "aeiou" else "a")
    if not _is_text(article) or gender not in (None, *GENDERS):
        raise bad(path, place, term, f"a descriptor whose article is text and whose gender is {', '.join(GENDERS)}")
    return Descriptor(text, article, gender)


def _nouns(path: Path) -> dict[str, list[tuple[str, str]]]:
    nouns: dict[str, list[tuple[str, str]]] = {}
    for gender, pairs in read_json_object(path, "nouns by gender").items():
        if gender not in GENDERS or not isinstance(pairs, list):
            raise bad(path, f"'{gender}'", pairs, f"a list of nouns under one of {', '.join(GENDERS)}")
        for pair in pairs:
            if not isinstance(pair, list) or len(pair) != 2 or not all(map(_is_text, pair)):
                raise bad(path, f"'{gender}'", pair, "a pair of a noun and its plural")
            nouns.setdefault(gender, []).append((pair[0], pair[1]))
    if missing := [gender for gender in GENDERS if gender not in nouns]:
        raise InputError(f"{path}: no noun under '{missing[0]}'; get the file again")
    return nouns


def _templates(path: Path) -> tuple[list[str], list[str]]:
    """All templates, and those that need no noun."""
    templates = read_json_object(path, "sentence templates")
    for template, rules in templates.items():
        if not BLANK.search(template):
            raise bad(path, "template", template, "a sentence with {noun_phrase} or {plural_noun_phrase} in it")
        if not isinstance(rules, dict):
            raise bad(path, f"template '{template}'", rules, "an object of rules, such as {}")
    return list(templates), [template for template, rules in templates.items() if not rules.get("must_be_noun")]


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
