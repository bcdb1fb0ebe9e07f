"""Task files are plain data: what would run code is refused in one line, before the harness sees the file."""

from __future__ import annotations

import pytest
from helpers.own_task import CHOICE, write_tasks

from fasp_core.errors import InputError
from fasp_core.evaluation.harness_files import read_task_files


def test_tasks_are_found_by_name_with_their_data_beside_them(tmp_path):
    folder = write_tasks(tmp_path / "tasks")
    tasks = read_task_files(folder)
    assert sorted(tasks) == ["tiny_choice", "tiny_last"]
    assert tasks["tiny_choice"].metrics == ("acc",)
    assert tasks["tiny_choice"].config["dataset_kwargs"] == {"data_files": {"test": [str(folder / "rows.jsonl")]}}


def test_a_fingerprint_is_of_the_file_and_of_its_data(tmp_path):
    folder = write_tasks(tmp_path)
    first = read_task_files(folder)
    with (folder / "rows.jsonl").open("a") as file:
        file.write('{"q": "x", "choices": ["a", "b"], "gold": 0, "text": "a b"}\n')
    second = read_task_files(folder)
    (folder / "choice.yaml").write_text(CHOICE + "num_fewshot: 0\n")
    third = read_task_files(folder)
    choice = [found["tiny_choice"].fingerprint for found in (first, second, third)]
    assert len(set(choice)) == 3
    assert second["tiny_last"].fingerprint == third["tiny_last"].fingerprint


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("process_docs: !function utils.process_docs", "!function stands for code"),
        ("doc_to_text: !!python/object/apply:os.system [ls]", "python/object/apply:os.system stands for code"),
        ("process_results: utils.f", "'process_results' is not taken"),
        ("include: /etc/other.yaml", "'include' is not taken"),
        ("class: mine.Task", "'class' is not taken"),
        ("custom_dataset: mine.load", "'custom_dataset' is not taken"),
        ("unsafe_code: true", "'unsafe_code' is not taken"),
        ("use_prompt: local:here/*", "'use_prompt' is not taken"),
        ("fewshot_config: {sampler: mine}", "'fewshot_config' is not taken"),
        ("dataset_path: ./loader.py", "dataset_path must be one of json, csv, parquet, text"),
        ("dataset_path: owner/name", "dataset_path must be one of"),
        ("dataset_kwargs: {data_files: {test: rows.jsonl}, trust_remote_code: true}", "data_files alone"),
        ("dataset_kwargs: {data_files: {test: none.jsonl}}", "no data file"),
        ("dataset_kwargs: {data_files: {test: 'https://example.org/rows.jsonl'}}", "no data file"),
        ("metric_list: [{metric: acc, hf_evaluate: true}]", "at most, aggregation"),
        ("metric_list: acc", "must hold a metric"),
        ("task: '<b>x</b>'", "'task' must be a name"),
        ("task: [a, b]", "'task' must be a name"),
        ("test_split: [", "not YAML"),
    ],
)
def test_what_is_no_plain_data_is_refused_in_one_line(tmp_path, line, words):
    entry = line.split(":")[0]
    kept, inside = [], False
    for old in CHOICE.splitlines():
        inside = old.startswith(f"{entry}:") or (inside and old.startswith(" "))
        kept += [] if inside else [old]
    folder = write_tasks(tmp_path, bad="\n".join([*kept, line, ""]))
    with pytest.raises(InputError) as refusal:
        read_task_files(folder)
    assert words in str(refusal.value)
    assert str(refusal.value).startswith(str(folder / "bad.yaml"))


def test_a_folder_must_be_there_hold_tasks_and_name_each_once(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        read_task_files(tmp_path / "none")
    with pytest.raises(InputError, match="no task files"):
        read_task_files(tmp_path)
    with pytest.raises(InputError, match="a second task 'tiny_choice'"):
        read_task_files(write_tasks(tmp_path, a=CHOICE, b=CHOICE))
    with pytest.raises(InputError, match="not a task file"):
        read_task_files(write_tasks(tmp_path / "list", a="- 1\n"))
