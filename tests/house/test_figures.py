"""What `make show-house` counts is there where it is put, and is not there in rsfast."""

import textwrap

import pytest

from bench.house import asked, floors, functions, modules

ROOMS = [["rsfast.top"], ["rsfast.left", "rsfast.right"], ["rsfast.noise"]]


@pytest.fixture(scope="module")
def rsfast():
    return modules.read()


@pytest.fixture
def tree(tmp_path):
    """Write modules of a made-up rsfast and read them."""

    def write(**sources):
        (tmp_path / "kernels").mkdir(exist_ok=True)
        for name, source in {"__init__": "__all__ = []\n_HOME = {}\n_MODULES = {}\n", **sources}.items():
            file = tmp_path / ("kernels" if name == "kernel" else "rsfast") / f"{name.replace('__in__', '/')}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(source))
        return modules.read(tmp_path)

    return write


def edges(read, *kinds):
    return [(one.importer, one.imported) for one in modules.imports(read) if one.when in kinds]


def test_a_circle_that_only_type_checkers_see_is_one(tree):
    read = tree(
        a="from . import b\n",
        b="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .c import C\n",
        c="from .a import x\nclass C: ...\n",
    )
    assert floors.circles(edges(read, "runtime")) == []
    assert floors.circles(edges(read, "runtime", "typed")) == [["rsfast.a", "rsfast.b", "rsfast.c", "rsfast.a"]]


def test_a_circle_through_a_function_is_one(tree):
    read = tree(a="import rsfast.b\n", b="def f():\n    from .a import x\n")
    assert floors.circles(edges(read, "runtime", "typed")) == []
    assert floors.circles(edges(read, "runtime", "typed", "function")) == [["rsfast.a", "rsfast.b", "rsfast.a"]]


def test_two_circles_are_two_and_a_diamond_is_none(tree):
    read = tree(
        a="from . import b, c\n", b="from . import d\n", c="from . import d\n", d="", e="from . import f\n", f="from . import e\n"
    )
    assert floors.circles(edges(read, "runtime")) == [["rsfast.e", "rsfast.f", "rsfast.e"]]
    both = tree(d="from . import c\n")
    assert floors.circles(edges(both, "runtime")) == [["rsfast.c", "rsfast.d", "rsfast.c"], ["rsfast.e", "rsfast.f", "rsfast.e"]]


def test_imports_up_beside_and_round_about_are_found(tree):
    read = tree(
        top="from . import left\n", left="from . import right\n", right="def f():\n    from . import homeless\n",
        homeless="from . import top\n", noise="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .top import T\n",
    )  # fmt: skip
    assert floors.upward(modules.imports(read), ROOMS) == [
        "rsfast.left:1 → rsfast.right (runtime)",
        "rsfast.noise:3 → rsfast.top (typed)",
        "rsfast.right:2 → rsfast.homeless → rsfast.top (runtime)",
    ]


def test_parameters_are_counted_without_self_and_by_kind(tree):
    read = tree(
        __init__='__all__ = ["f", "C"]\n_HOME = {"f": "a", "C": "a"}\n_MODULES = {}\n',
        a="""
            def f(a, /, b, *rest, c, **options): ...
            def g(a, b): return lambda x, y, z: x
            class C:
                def __init__(self, a): ...
                def _inner(self, a, b, c, d): ...
                @staticmethod
                def s(a, b): ...
        """,
        kernel="import triton\n@triton.jit\ndef k(a, b, c, d, e, f, g): ...\ndef plain(a): ...\n",
        cli__in__x='import click\n@click.command("x")\n@click.option("--a")\ndef command(a, b, c): ...\n',
    )
    found = functions.parameters(read, {"public": 4, "inner": 2})
    assert found["public"] == {"functions": 3, "longest": 5, "over": {"rsfast/a.py:2 f": 5}}
    assert found["inner"]["over"] == {"rsfast/a.py:6 C._inner": 4, "rsfast/a.py:3 g.<lambda>": 3}
    assert (found["kernel"]["longest"], found["command"]["longest"]) == (7, 3)


def test_lines_are_counted_without_decorators_and_docstring(tree):
    body = "    x = 1\n" * 5
    read = tree(a=f'@d(\n  1)\ndef f():\n    """Of\n\n    three."""\n{body}\n\ndef g(): ...\n')
    assert functions.long_functions(read, 5) == {"rsfast/a.py:3 f": 6}
    assert functions.long_functions(read, 6) == {}
    assert functions.long_modules(read, 13) == {"rsfast/a.py": 14}


def test_every_form_of_asking_for_a_class_is_found(tree):
    forms = """
        from .noise import Gaussian as G, TRANSFORMS, View
        from . import noise
        OURS = (G, noise.Laplace)
        def f(x, c):
            isinstance(x, G)
            isinstance(x, (int, noise.Laplace))
            isinstance(x, int | noise.Laplace)
            isinstance(x, OURS)
            isinstance(x, tuple(TRANSFORMS.values()))
            issubclass(c, G)
            type(x) is G
            type(x) in OURS
            x.__class__ == noise.Gaussian
            isinstance(x, int), isinstance(x, View), type(x) is int, x == G(1)
            drawn = G(1)
            isinstance(c, type(drawn).__mro__[1])
            match x:
                case G(): ...
                case noise.Laplace(scale=1): ...
                case int(): ...
    """
    home = "class Gaussian: ...\nclass Laplace: ...\nclass View: ...\nTRANSFORMS = {}\ndef f(x): return isinstance(x, Gaussian)\n"
    found = asked.by_class(tree(noise=home, a=forms))
    assert [int(one.partition(" ")[0].split(":")[1]) for one in found] == [6, 7, 8, 9, 10, 11, 12, 13, 14, 19, 20]


def test_text_that_stands_for_a_class_is_found(tree):
    code = 'def f(noise, x):\n    noise.family == "a"\n    x.noise.draw in ("b", "c")\n    x.name == "d"\n    noise.name\n'
    assert [one.split()[0] for one in asked.by_text(tree(noise="", a=code))] == ["rsfast/a.py:2", "rsfast/a.py:3"]


def test_rsfast_has_no_circle_not_even_a_typed_one(rsfast):
    assert floors.circles(edges(rsfast, "runtime", "typed", "function")) == []


def test_no_import_of_rsfast_points_up(rsfast):
    assert floors.upward(modules.imports(rsfast), floors.layers()) == []
    assert floors.typed_imports_are_held()


def test_a_request_travels_as_values(rsfast):
    assert functions.parameters(rsfast, {"public": 16})["public"]["over"] == {}


def test_no_module_has_more_than_500_lines(rsfast):
    assert functions.long_modules(rsfast, 500) == {}
