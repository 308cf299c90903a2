"""The check of commit subjects accepts imperatives and names what is wrong with anything else."""

import shutil
import subprocess

import commits
import pytest


@pytest.mark.parametrize(
    "subject",
    [
        "Check shapes before a load",
        "Fix the sign of the weight decay in Lion",
        "Name op options and hooks by the field's terms",
        "Pass views to the kernel",
        "Focus the browser's tests on the page",
        "Speed up small matrix products",
        "Bring arrays into C order before a kernel call",
        "Ping the server of the playground",
        "Embed the script in the page",
        "Shed two copies of the batch",
        "Revert to NumPy 2.1",
        "x".upper() * 72,
    ],
)
def test_imperative_subject_is_accepted(subject):
    assert commits.problem(subject) == ""


@pytest.mark.parametrize(
    ("subject", "problem"),
    [
        ("Add " + 69 * "x", "at most 72 characters, not 73"),
        ("Add a check of shapes.", "no period"),
        ("Draw the gallery (in progress)", "finished"),
        ("WIP", "finished"),
        ("Draw the gallery, wip", "finished"),
        ("fixup! Draw the gallery", "finished"),
        ("Added a check", "imperative"),
        ("Adding a check", "imperative"),
        ("Adds a check", "imperative"),
        ("Fixes the sign", "imperative"),
        ("Docs of the gallery", "imperative"),
        ("The gallery", "imperative"),
        ("A typo that the spell checker accepts", "imperative"),
        ("Films, pictures and commands", "imperative"),
        ("add a check", "capital"),
        ("", "capital"),
        ("Design: what the pages share", "label"),
        ("Sine and cosine: ops for surfaces", "label"),
    ],
)
def test_other_subject_is_refused_with_its_problem(subject, problem):
    assert problem in commits.problem(subject)


def test_first_line_of_a_message_is_checked(tmp_path):
    message = tmp_path / "message"
    message.write_text("Add a check\n\nbecause: it was missing.\n")
    commits.main(["--message", str(message)])
    message.write_text("added a check\n")
    with pytest.raises(SystemExit, match=r"added a check\n    begin with a capital letter"):
        commits.main(["--message", str(message)])


@pytest.mark.skipif(not shutil.which("git"), reason="needs Git")
def test_range_is_checked_without_its_merges(tmp_path, monkeypatch):
    monkeypatch.setattr(commits, "__file__", str(tmp_path / "commits.py"))

    def git(*arguments):
        names = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *names, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init", "-q")
    for subject in ("an old one", "Add one", "added two"):
        git("commit", "-q", "--allow-empty", "--no-verify", "-m", subject)
    assert commits.subjects("HEAD~2..HEAD") == ["added two", "Add one"]
    commits.main(["HEAD~2..HEAD~1"])
    git("checkout", "-q", "-b", "side", "HEAD~1")
    git("commit", "-q", "--allow-empty", "--no-verify", "-m", "Add three")
    git("checkout", "-q", "-")
    git("merge", "-q", "--no-ff", "-m", "merged", "side")
    assert sorted(commits.subjects("HEAD~1..HEAD")) == ["Add three"]
    with pytest.raises(SystemExit, match="added two"):
        commits.main(["HEAD~2..HEAD"])


def test_range_that_is_not_in_the_clone_is_not_checked(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(commits, "__file__", str(tmp_path / "commits.py"))
    commits.main([])
    assert "not checked" in capsys.readouterr().out
