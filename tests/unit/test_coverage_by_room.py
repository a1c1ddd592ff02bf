"""Coverage by room adds up files of one folder, statements and branches together."""

from scripts.coverage_by_room import by_room


def file(statements, branches, lines, taken):
    counts = {"num_statements": statements, "num_branches": branches, "covered_lines": lines, "covered_branches": taken}
    return {"summary": counts}


def test_files_of_one_folder_are_added_up():
    files = {"a/one.py": file(10, 4, 8, 1), "a/two.py": file(5, 0, 5, 0), "a/b/three.py": file(2, 2, 0, 0)}
    assert by_room(files) == {"a": (14, 19), "a/b": (0, 4)}
