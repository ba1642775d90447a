"""What an addition touches: a real patch for each kind, which applies to this tree and passes the conformance tests there."""

import dataclasses

import pytest

from bench.house import additions

MADE = {kind: addition for kind, addition in additions.TABLE.items() if addition.patch.exists()}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return additions.copied(tmp_path_factory.mktemp("tree"))


@pytest.mark.parametrize("kind", MADE)
def test_the_patch_applies(kind, tree):
    assert additions.applies(MADE[kind].patch, tree) == ""


@pytest.mark.parametrize("kind", MADE)
def test_the_patch_touches_no_more_than_the_house_allows(kind):
    touched = additions.places(MADE[kind].patch.read_text())
    assert 1 <= len(touched) <= MADE[kind].files, touched
    assert sum(touched.values()) <= MADE[kind].places, touched


@pytest.mark.slow
@pytest.mark.parametrize("kind", MADE)
def test_conformance_tests_pass_with_the_patch(kind):
    assert additions.tried(MADE[kind]) == ""


def test_every_patch_is_of_a_kind():
    assert set(additions.PATCHES.glob("*")) == {addition.patch for addition in MADE.values()}


def test_a_patch_that_does_not_fit_is_refused_with_a_reason(tree, tmp_path):
    patch = tmp_path / "wrong.patch"
    patch.write_text("--- a/rsfast/version.py\n+++ b/rsfast/version.py\n@@ -1 +1 @@\n-nothing of the kind\n+x\n")
    assert "version.py" in additions.applies(patch, tree)


def test_a_patch_that_fails_its_tests_is_told(tmp_path):
    patch = tmp_path / "failing.patch"
    patch.write_text(
        "diff --git a/tests/test_new.py b/tests/test_new.py\nnew file mode 100644\n--- /dev/null\n+++ b/tests/test_new.py\n"
        "@@ -0,0 +1,2 @@\n+def test_of_the_patch():\n+    assert 1 == 2\n"
    )
    wrong = dataclasses.replace(additions.TABLE["a data source"], patch=patch, tests=("tests/test_new.py",))
    assert "assert 1 == 2" in additions.tried(wrong)


def test_places_are_stretches_of_changed_lines_in_the_source():
    patch = (
        "diff --git a/rsfast/a.py b/rsfast/a.py\n--- a/rsfast/a.py\n+++ b/rsfast/a.py\n"
        "@@ -1,5 +1,6 @@\n one\n-two\n+zwei\n+drei\n four\n+five\n six\n@@ -20 +21 @@ def f():\n-x\n+y\n"
        "diff --git a/rsfast/new.py b/rsfast/new.py\nnew file mode 100644\n--- /dev/null\n+++ b/rsfast/new.py\n"
        "@@ -0,0 +1,3 @@\n+one\n+\n+two\n"
        "diff --git a/tests/test_a.py b/tests/test_a.py\n--- a/tests/test_a.py\n+++ b/tests/test_a.py\n@@ -1 +1 @@\n-a\n+b\n"
        "diff --git a/docs/a.md b/docs/a.md\n--- a/docs/a.md\n+++ b/docs/a.md\n@@ -1 +1 @@\n-a\n+b\n"
    )
    assert additions.places(patch) == {"rsfast/a.py": 3, "rsfast/new.py": 1}
