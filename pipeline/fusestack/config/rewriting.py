"""A configuration file with other settings: its comments, its order and all other lines stay as they are."""

from __future__ import annotations

import io
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fusestack.model.errors import ConfigError

if TYPE_CHECKING:
    from ruamel.yaml import YAML


def rewritten(text: str, name: str, section: str, keys: Sequence[str], settings: Mapping[str, Any]) -> str:
    """Text of a configuration, some of whose settings are exchanged.

    Keys that go and keys that come are lines of the text; of a value that changes, only what differs within is
    exchanged.

    Parameters
    ----------
    text : str
        YAML.
    name : str
        Of the file, for messages.
    section : str
        Key of the mapping that they stand in; made where it is not there.
    keys : sequence of str
        Of that mapping: those that `settings` lacks are removed.
    settings : mapping
        What these keys become.

    Raises
    ------
    ConfigError
        If the file is written in a way that cannot be kept.
    """
    if "\r\n" in text:
        return rewritten(text.replace("\r\n", "\n"), name, section, keys, settings).replace("\n", "\r\n")
    wanted = {key: one for key, one in settings.items() if key in keys}
    if name.lower().endswith(".json"):
        return _rewritten_json(text, section, keys, wanted)
    document = _loaded(text, name)
    part: Any = document.get(section)
    if not isinstance(part, Mapping):
        if section in document and part is not None:
            raise ConfigError(f"{name}: {section} is no mapping")
        return _with_section(text, document, section, wanted)
    if not part and not name.lower().endswith(".json"):
        return _with_section(text, document, section, wanted) if wanted else text
    if _shared(part):
        raise ConfigError(
            f"{name}: {section} is shared by an anchor or a merge key; write it out, or change it yourself"
        )
    form: Any = part
    if form.fa.flow_style():
        return _spliced(text, section, _exchanged(text, document, section, keys, wanted), name)
    lines = _exchanged_lines(text.splitlines(), document, section, keys, wanted)
    changed = "\n".join(lines) + "\n"
    document = _loaded(changed, name)
    if document[section] is not None and any(document[section][key] != one for key, one in wanted.items()):
        changed = _spliced(changed, section, _exchanged(changed, document, section, keys, wanted), name)
    return changed


def _rewritten_json(text: str, section: str, keys: Sequence[str], wanted: Mapping[str, Any]) -> str:
    """The same in JSON, which has no comments; its indentation stays."""
    content = json.loads(text)
    part = {key: one for key, one in (content.get(section) or {}).items() if key not in keys or key in wanted}
    content[section] = {**part, **wanted}
    indents = re.search(r"\n( +)", text)
    made = json.dumps(content, indent=len(indents[1]) if indents else None, ensure_ascii=False)
    return made + ("\n" if text.endswith("\n") else "")


def _loaded(text: str, name: str) -> Any:
    from ruamel.yaml.error import YAMLError

    try:
        document = _yaml(text).load(text)
    except YAMLError as error:
        raise ConfigError(f"{name}: cannot be rewritten: {str(error).splitlines()[0]}; change it yourself") from error
    if not isinstance(document, Mapping):
        raise ConfigError(f"{name}: is not a mapping")
    return document


def _yaml(text: str) -> YAML:
    """A reader and writer that keeps what it can, with the indentation that the file has."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 1_000_000
    step, indented = _step(text), _indented_lists(text)
    yaml.indent(mapping=step, sequence=step + 2 if indented else 2, offset=step if indented else 0)
    return yaml


def _step(text: str) -> int:
    """By how many blanks the first key of a section is indented."""
    for line in text.splitlines():
        bare = line.lstrip(" ")
        if bare and bare[0] not in "#-" and line != bare:
            return len(line) - len(bare)
    return 2


def _indented_lists(text: str) -> bool:
    """Whether entries of lists stand deeper than the key before them."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for above, line in itertools.pairwise(lines):
        if line.lstrip().startswith("- ") and above.partition("#")[0].rstrip().endswith(":"):
            return len(line) - len(line.lstrip()) > len(above) - len(above.lstrip())
    return True


def _shared(part: Any) -> bool:
    """Whether changing a mapping would change another one, too."""
    anchor = getattr(part, "anchor", None)
    return bool(getattr(part, "merge", None)) or (anchor is not None and anchor.value is not None)


def _line(key: str, value: Any) -> str:
    """``key: value`` in one line."""
    from ruamel.yaml import YAML
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    yaml = YAML()
    yaml.default_flow_style = True
    yaml.width = 1_000_000
    out = io.StringIO()
    quoted = DoubleQuotedScalarString(value) if isinstance(value, str) and value.startswith("-") else value
    yaml.dump({key: quoted}, out)
    return out.getvalue().strip().removeprefix("{").removesuffix("}")


def _with_section(text: str, document: Any, section: str, wanted: Mapping[str, Any]) -> str:
    """With a section that says something, where there was none."""
    lines = text.splitlines()
    new = [f"  {_line(key, one)}" for key, one in wanted.items()]
    if section in document:  # as in `focus:`, and nothing behind it
        place = document.lc.key(section)[0]
        return "\n".join([*lines[:place], f"{section}:", *new, *lines[place + 1 :]]) + "\n"
    return "\n".join([*lines, f"{section}:", *new]) + "\n"


def _exchanged_lines(
    lines: list[str], document: Any, section: str, keys: Sequence[str], wanted: Mapping[str, Any]
) -> list[str]:
    """Without the lines of keys that go, and with those of new ones: where an old one was, else first."""
    part = document[section]
    listed = list(part)
    starts = [part.lc.key(key)[0] for key in listed]
    after = [document.lc.key(key)[0] for key in document if document.lc.key(key)[0] > starts[-1]]
    ends = [*starts[1:], min(after, default=len(lines))]
    spans = {}
    for key, start, end in zip(listed, starts, ends, strict=True):
        while end > start + 1 and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
            end -= 1  # comments before the next key are its own
        spans[key] = (start, end)
    gone = [key for key in listed if key in keys and key not in wanted]
    indent = " " * part.lc.key(listed[0])[1]
    new = [indent + _line(key, one) for key, one in wanted.items() if key not in part]
    place = document.lc.key(section)[0] + 1
    if gone:
        place, end = spans[gone[0]]
        if new and end == place + 1 and (comment := _comment(part, gone[0])):
            new[0] += f"  {comment}"
    removed = {number for key in gone for number in range(*spans[key])}
    kept = [(number, line) for number, line in enumerate(lines) if number not in removed]
    return [
        *(line for number, line in kept if number < place),
        *new,
        *(line for number, line in kept if number >= place),
    ]


def _comment(part: Any, key: str) -> str:
    """What stands behind a value in its line."""
    tokens = part.ca.items.get(key)
    token = tokens[2] if tokens and len(tokens) > 2 else None
    text = getattr(token, "value", "") if token is not None and not isinstance(token, list) else ""
    first: str = text.partition("\n")[0].strip()
    return first


def _exchanged(text: str, document: Any, section: str, keys: Sequence[str], wanted: Mapping[str, Any]) -> str:
    """Text of a document in which values are exchanged, its other lines perhaps in another form."""
    part = document[section]
    for key in [key for key in part if key in keys and key not in wanted]:
        del part[key]
    for key, one in wanted.items():
        part[key] = _merged(part[key], one) if key in part else one
    out = io.StringIO()
    _yaml(text).dump(document, out)
    return out.getvalue()


def _spliced(text: str, section: str, changed: str, name: str) -> str:
    """A text with the section of another one."""
    before, after = (_section_lines(one, section, name) for one in (text, changed))
    old, new = text.splitlines(), changed.splitlines()
    return "\n".join([*old[: before[0]], *new[after[0] : after[1]], *old[before[1] :]]) + "\n"


def _section_lines(text: str, section: str, name: str) -> tuple[int, int]:
    """First line of a section, and the line of the next one."""
    document = _loaded(text, name)
    start = document.lc.key(section)[0]
    after = [document.lc.key(key)[0] for key in document if document.lc.key(key)[0] > start]
    return start, min(after, default=len(text.splitlines()))


def _merged(old: Any, new: Any) -> Any:
    """A value, with what is equal in the old one, and its comments, kept."""
    if old == new:
        return old
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        merged: Any = old
        for key in [key for key in merged if key not in new]:
            del merged[key]
        for key, one in new.items():
            merged[key] = _merged(merged[key], one) if key in merged else one
        return merged
    if isinstance(old, list) and isinstance(new, Sequence) and not isinstance(new, str) and len(old) == len(new):
        for i, one in enumerate(new):
            old[i] = one if old[i] is None else _merged(old[i], one)
        return old
    if isinstance(old, list) and old and isinstance(new, Sequence) and not isinstance(new, str):
        for i in reversed([i for i, one in enumerate(old) if one not in new]):
            del old[i]
        old += [_in_one_line(one) for one in new if one not in old]
        return old if list(old) == list(new) else new
    return new


def _in_one_line(value: Any) -> Any:
    """A mapping or a list, written as ``{a: [1, 2]}``."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq

    if isinstance(value, Mapping):
        made: Any = CommentedMap({key: _in_one_line(one) for key, one in value.items()})
    elif isinstance(value, Sequence) and not isinstance(value, str):
        made = CommentedSeq([_in_one_line(one) for one in value])
    else:
        return value
    made.fa.set_flow_style()
    return made
