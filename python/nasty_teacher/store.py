"""Reads what the program wrote, as plain dictionaries and lists. Nothing is changed."""

import json
from pathlib import Path


def read_run(folder):
    """One run of a store, or an exported network's folder.

    A dictionary of `hash` (the folder's name), `folder`, `task` (task.json, or the recipe.json of version 0.1.0),
    `config` (of the network), `metrics` (a list, one entry per epoch), `result` and `failure`. A missing file gives
    None, and no metrics give an empty list. Raises FileNotFoundError if there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}")
    task = _json(folder / "task.json")
    return {
        "hash": folder.resolve().name,
        "folder": str(folder),
        "task": _json(folder / "recipe.json") if task is None else task,
        "config": _json(folder / "config.json"),
        "metrics": _lines(folder / "metrics.jsonl"),
        "result": _json(folder / "result.json"),
        "failure": _json(folder / "failure.json"),
    }


def read_runs(store="runs"):
    """Every run of a store, finished or not, in the order of their hashes: a list of what `read_run` returns."""
    folders = (path for path in _folder(store).iterdir() if path.is_dir())
    is_run = lambda folder: any((folder / name).is_file() for name in ("task.json", "recipe.json"))
    return [read_run(folder) for folder in sorted(folders) if is_run(folder)]


def read_experiments(store="runs"):
    """The record of every experiment that was run in a store: its name, settings, and which run is which cell."""
    return [_json(path) for path in sorted((_folder(store) / "experiments").glob("*.json"))]


def read_report(folder):
    """The figures of a report: the report.json of `nasty run` and `nasty report`, or a quickstart's results.json."""
    for name in ("report.json", "results.json"):
        found = _json(_folder(folder) / name)
        if found is not None:
            return found
    raise FileNotFoundError(f"neither report.json nor results.json in {folder}")


def _folder(path):
    path = Path(path)
    if not path.is_dir():
        raise FileNotFoundError(f"no folder {path}")
    return path


def _json(path):
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    return _parse(text, path)


def _lines(path):
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [_parse(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)]


def _parse(text, place):
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{place}: expected JSON, found {error}") from error
