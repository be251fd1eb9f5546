"""Functions of the user's own: found by name, part of what a result depends on, and able to travel to workers."""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect
import re
import sys
import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fusestack.model.errors import ConfigError
from fusestack.model.function_source import Described, described

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
"""How the configuration names a function: ``module:function``."""

_IMPORTABLE = "it must be importable where the program runs: install its module, or put its folder on PYTHONPATH"


@dataclass(frozen=True)
class Function:
    """A Python function of the user's, or anything else that can be called.

    One that can be imported travels by its name, any other (of a notebook, a lambda, a closure) with its code.

    Parameters
    ----------
    call : callable
    name : str
        For people, and for the configuration where it can be imported: ``module:function``.
    """

    call: Callable[..., Any] = field(repr=False)
    name: str

    @classmethod
    def of(cls, given: str | Callable[..., Any] | Function) -> Function:
        """Find a function that is given or named.

        Raises
        ------
        ConfigError
            If there is no such function, it cannot be called, or it could not travel.
        """
        if isinstance(given, Function):
            return given
        if isinstance(given, str):
            text = _description(given)
            found = cls(_imported(given) if text is None else _NotImported(text), given)
            if not callable(found.call):
                raise ConfigError(f"{given} is no function, but {type(found.call).__name__}; name a function")
            return found
        found = cls(given, _name_of(given))
        if not found._is_importable:
            found._packed()  # what cannot travel is refused at once
        return found

    def __str__(self) -> str:
        return self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Call it."""
        return self.call(*arguments, **options)

    def declared(self, attribute: str, default: Any) -> Any:
        """What the function says of itself in an attribute."""
        call: Any = self.call
        if isinstance(call, _NotImported):
            return call.text.attributes.get(attribute, default)
        while isinstance(call, functools.partial) and not hasattr(call, attribute):
            call = call.func
        return getattr(call, attribute, default)

    def check_arguments(self, arguments: tuple[str, ...], options: Mapping[str, Any]) -> None:
        """Refuse what it does not take; does nothing where Python does not know what that is.

        Raises
        ------
        ConfigError
        """
        try:
            signature = inspect.signature(self.call)
        except (TypeError, ValueError):
            return
        try:
            signature.bind(*arguments, **options)
        except TypeError as error:
            wanted = ", ".join([*arguments, *(f"{key}=..." for key in options)])
            raise ConfigError(
                f"{self.name} takes {signature}, but is called as ({wanted}): {error}; change the function, or its "
                "options"
            ) from error

    @property
    def source(self) -> str:
        """Hash of its source (else its code), of its default values, and of what it encloses.

        Also of numbers, texts and arrays of its module that it names, and of functions of that module that it calls;
        not of those of other modules.
        """
        facts = self.call.text.facts if isinstance(self.call, _NotImported) else _facts(self.call, ())
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]

    def facts(self) -> list[str]:
        """What a result depends on."""
        return [self.name, self.source]

    def arrays(self) -> tuple[()]:
        """No stage writes it."""
        return ()

    def __dask_tokenize__(self) -> list[str]:
        return self.facts()

    def __reduce__(self) -> tuple[Any, ...]:
        if self._is_importable:
            return _unpacked_name, (self.name, self.source)
        return _unpacked_code, (self._packed(), self.name)

    @property
    def _is_importable(self) -> bool:
        if isinstance(self.call, _NotImported):
            return True
        if self.name.startswith("__main__:") or not NAME.fullmatch(self.name):
            return False
        try:
            return _imported(self.name) is self.call
        except ConfigError:
            return False

    def _packed(self) -> bytes:
        import cloudpickle

        try:
            packed: bytes = cloudpickle.dumps(self.call)
        except Exception as error:
            raise ConfigError(
                f"{self.name} cannot be sent to workers ({error}); give a function of a module, or one that holds "
                "only what can be pickled"
            ) from error
        return packed


@dataclass(frozen=True)
class _NotImported:
    """A function that is described by the text of its module, which is run when it is called."""

    text: Described

    @property
    def __signature__(self) -> inspect.Signature:
        return self.text.signature

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return _imported_as(self.text)(*arguments, **options)


_DESCRIBED: dict[str, Described] = {}
"""Functions of this process that were described before their modules were imported."""


def _description(name: str) -> Described | None:
    """What the text of a module says of a function; None where that does not tell, or where other code was run."""
    if name.partition(":")[0] in sys.modules:
        found = _DESCRIBED.get(name)
        return found if found is not None and found.is_current else None
    found = described(name) if NAME.fullmatch(name) else None
    if found is None:
        _DESCRIBED.pop(name, None)
    else:
        _DESCRIBED[name] = found
    return found


def _imported_as(text: Described) -> Any:
    """The function, of a module that is what was read of it."""
    if text.name.partition(":")[0] not in sys.modules and not text.is_current:
        raise ConfigError(f"{text.name}: {text.file} has changed meanwhile; run again")
    return _imported(text.name)


def import_functions(configuration: str) -> None:
    """Import the modules of functions that the text of a configuration names, and that nobody has imported yet.

    Raises
    ------
    ConfigError
        If that fails.
    """
    for name, text in list(_DESCRIBED.items()):
        if name in configuration:
            _imported_as(text)


def _name_of(call: Any) -> str:
    inner = call
    while isinstance(inner, functools.partial):
        inner = inner.func
    if not hasattr(inner, "__qualname__"):
        inner = type(inner)
    module = getattr(inner, "__module__", None)
    return f"{module}:{inner.__qualname__}" if module else str(inner.__qualname__)


def _imported(name: str) -> Any:
    module, _, path = name.partition(":")
    try:
        found = importlib.import_module(module)
        for attribute in path.split("."):
            found = getattr(found, attribute)
    except Exception as error:  # modules may raise anything
        reason = str(error) if isinstance(error, ImportError | AttributeError) else f"{type(error).__name__}: {error}"
        raise ConfigError(f"there is no function {name} ({reason}); {_IMPORTABLE}") from error
    return found


def _unpacked_name(name: str, source: str) -> Function:
    found = Function.of(name)
    if found.source != source:
        raise ConfigError(
            f"{name}: this worker has another version of it than the program that sent it; restart the workers"
        )
    return found


def _unpacked_code(packed: bytes, name: str) -> Function:
    import cloudpickle

    return Function(cloudpickle.loads(packed), name)


def _facts(value: Any, outer: tuple[int, ...]) -> Any:
    """What a function or a value that it holds is, for a hash."""
    if value is None or isinstance(value, str | bytes | int | float | complex):
        return value
    if id(value) in outer:
        return "itself"
    outer = (*outer, id(value))
    if isinstance(value, tuple | list):
        return [_facts(item, outer) for item in value]
    if isinstance(value, dict):
        return [[_facts(key, outer), _facts(item, outer)] for key, item in value.items()]
    if isinstance(value, functools.partial):
        return ["partial", *(_facts(part, outer) for part in (value.func, value.args, value.keywords))]
    if inspect.ismethod(value):
        return ["method", _facts(value.__func__, outer), _facts(value.__self__, outer)]
    if inspect.isfunction(value):
        held = [_facts(_content(cell), outer) for cell in value.__closure__ or ()]
        named = [[name, _facts(found, outer)] for name, found in _of_its_module(value)]
        return [_text(value), _facts(value.__defaults__, outer), _facts(value.__kwdefaults__, outer), held, named]
    if hasattr(value, "__wrapped__"):  # of numba, for example
        return _facts(value.__wrapped__, outer)
    if inspect.isclass(value) or inspect.ismodule(value) or inspect.isbuiltin(value):
        return f"{getattr(value, '__module__', '')}:{value.__name__}"
    if callable(value) and inspect.isfunction(type(value).__call__):
        methods = [[name, _facts(one, outer)] for name, one in sorted(vars(type(value)).items()) if _is_method(one)]
        return [_name_of(value), methods, _facts(type(value).__call__, outer), _facts(value.__getstate__(), outer)]
    return _pickled(value)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _is_method(value: Any) -> bool:
    return inspect.isfunction(value) and not value.__name__.startswith("__")


def _of_its_module(function: Any) -> list[tuple[str, Any]]:
    """Values and functions of its own module that a function names."""
    import numpy as np  # configurations are checked without it

    found, plain = [], str | bytes | int | float | complex | tuple | list | dict | np.ndarray | np.generic
    for name in sorted(_names(function.__code__)):
        value = function.__globals__.get(name)
        own = inspect.isfunction(value) and value.__module__ == function.__module__
        if own or isinstance(value, plain):
            found.append((name, value))
    return found


def _names(code: Any) -> set[str]:
    return set(code.co_names).union(*(_names(one) for one in code.co_consts if inspect.iscode(one)))


def _text(function: Any) -> Any:
    """Source of a function; the code itself where there is none, and of lambdas, which share their line."""
    return _code(function.__code__) if function.__name__ == "<lambda>" else _source_of(function.__code__)


@functools.lru_cache(maxsize=256)
def _source_of(code: Any) -> Any:
    """Remembered: a file that is edited after its import does not change what runs."""
    try:
        return textwrap.dedent(inspect.getsource(code))
    except (OSError, TypeError):
        return _code(code)


def _code(code: Any) -> Any:
    constants = [_code(one) if inspect.iscode(one) else repr(one) for one in code.co_consts]
    return [code.co_code.hex(), constants, code.co_names, code.co_varnames]


def _pickled(value: Any) -> str:
    import cloudpickle

    try:
        return hashlib.sha256(cloudpickle.dumps(value)).hexdigest()
    except Exception:
        return type(value).__qualname__
