"""Long YAML texts, taken apart by libyaml: a configuration of thousands of views in a second.

The library that reads YAML 1.2 in Python takes 4 ms for a view. libyaml knows YAML 1.1 only, which differs in what
plain words mean (decided here by the rules of 1.2) and in a few characters; where a text holds one of these, or
libyaml refuses it, nothing is said here and the slow way is taken, with its messages.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ruamel.yaml import YAML

LONG = 2**15
"""Characters from which on it is worth another import."""

_OTHERWISE = re.compile("[\x85\u2028\u2029\ufeff\t]|^%|!|&(?!\\w+(?:\\s|$))", re.MULTILINE | re.ASCII)
"""Line breaks of 1.1 that are none in 1.2, marks, tabs, directives, tags, anchors but for those that programs write."""


def compose(text: str, rules: YAML) -> Any:
    """Nodes of a text, as `rules` would compose them, with the same tags and places; None where that is not certain.

    Parameters
    ----------
    text : str
    rules : YAML
        What says which words are numbers.
    """
    if _OTHERWISE.search(text):
        return None
    try:
        from yaml import CLoader, YAMLError  # type: ignore[import-untyped]
    except ImportError:  # PyYAML without libyaml
        return None
    from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

    kinds = {"ScalarNode": ScalarNode, "SequenceNode": SequenceNode, "MappingNode": MappingNode}

    @functools.cache
    def tag_of(kind: str, value: str | None, implicit: tuple[bool, bool] | bool) -> str:
        return str(rules.resolver.resolve(kinds[kind], value, implicit))

    class Composer(CLoader):  # type: ignore[misc, unused-ignore]
        def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
            return tag_of(kind.__name__, value, implicit)

    composer = Composer(text)
    try:
        return composer.get_single_node()
    except YAMLError:
        return None
    finally:
        composer.dispose()
