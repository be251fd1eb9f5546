"""What a source promises that wraps another one: all of the contract, but files are the other one's matter."""

from __future__ import annotations

from dataclasses import replace

from fusestack.model.view import SourceRef
from tests.contracts.source_contract import SourceContract, assert_refused


def moved(ref, path):
    """The same reference to a file at another place."""
    options = tuple(
        (k, moved(v, path) if isinstance(v, SourceRef) and v.path == ref.path else v) for k, v in ref.options
    )
    return replace(ref, path=path, options=options)


class WrappedContract(SourceContract):
    """Subclass it with a fixture `example`."""

    def test_missing(self, example):
        assert_refused(moved(example.ref, example.ref.path + "-gone"), "no such file")

    def test_paths(self, example):
        """Everything that is read is named: fingerprints and the cache of open sources rely on it."""
        wrapped = [value for _, value in example.ref.options if isinstance(value, SourceRef)]
        assert wrapped
        assert {path for ref in wrapped for path in ref.paths} <= set(example.ref.paths)
