"""Reading runs, experiments and reports."""

import json

import nasty_teacher
import pytest


def test_a_run_reads_as_dictionaries(teacher):
    store, hash = teacher
    run = nasty_teacher.read_run(store / hash)
    assert run["task"]["format"] == 1
    assert run["config"]["architecture"] == "cnn4"
    assert [row["epoch"] for row in run["metrics"]] == [0, 1]
    assert 0 <= run["result"]["test"]["accuracy"] <= 1
    assert run["failure"] is None
    assert [other["hash"] for other in nasty_teacher.read_runs(store)] == [hash]


def test_both_names_of_the_tasks_file_are_read(tmp_path):
    for name in ("task.json", "recipe.json"):
        folder = tmp_path / name[:4]
        folder.mkdir()
        (folder / name).write_text('{"format": 1, "epochs": 3}')
    (tmp_path / "logits").mkdir()
    runs = nasty_teacher.read_runs(tmp_path)
    assert [(run["hash"], run["task"]["epochs"]) for run in runs] == [("reci", 3), ("task", 3)]
    assert all(run["result"] is None and run["metrics"] == [] for run in runs)


def test_an_experiment_and_its_report_are_read(tmp_path):
    store, out = tmp_path / "runs", tmp_path / "report"
    store.mkdir()
    assert nasty_teacher.read_experiments(store) == []
    out.mkdir()
    with pytest.raises(FileNotFoundError, match="neither report.json nor results.json"):
        nasty_teacher.read_report(out)
    (out / "results.json").write_text('{"format": 1}')
    assert nasty_teacher.read_report(out) == {"format": 1}
    (store / "experiments").mkdir()
    (store / "experiments" / "one.json").write_text(json.dumps({"name": "one"}))
    assert nasty_teacher.read_experiments(store) == [{"name": "one"}]


def test_what_is_absent_or_damaged_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        nasty_teacher.read_runs(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match="no folder"):
        nasty_teacher.read_run(tmp_path / "absent")
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 0}\n{"epo')
    with pytest.raises(ValueError, match="metrics.jsonl, line 2: expected JSON"):
        nasty_teacher.read_run(tmp_path)
