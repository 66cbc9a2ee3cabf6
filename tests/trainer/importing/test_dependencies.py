"""The packages that a task's code needs, found without executing it."""

import ast

import pytest

from protocol.errors import ConfigurationError
from trainer.importing import dependencies
from trainer.importing.dependencies import lacking, toolchains_called


@pytest.mark.parametrize(
    ("code", "toolchains"),
    [
        ("subprocess.run(['g++', '-O2', source])", ("cc",)),
        ("subprocess.check_output(('rustc', '--version'))", ("rust",)),
        ("os.system('gfortran -o main main.f90')", ("fortran",)),
        ("run(['go', 'build']); run(['node', 'main.js'])", ("go", "node")),
        ("graph.add(['python', 'x'])", ()),
        ("seen.add('node'); label = ['node', 'edge']", ()),  # of a graph, perhaps
    ],
)
def test_compilers_that_an_evaluator_calls_are_found(
    code: str, toolchains: tuple[str, ...]
) -> None:
    assert toolchains_called([ast.parse(code)]) == toolchains


def test_a_compiler_that_is_not_here_is_named_at_import(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> None:
        if name == "rust":
            raise ConfigurationError("this task needs `rustc`", "install Rust")

    monkeypatch.setattr(dependencies, "toolchain", find)
    assert lacking(["cc", "rust"]) == ("this task needs `rustc`: install Rust",)
    assert lacking([]) == ()
