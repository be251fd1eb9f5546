"""JSON Schema of the configuration, for editors (yaml-language-server) and for ``fusestack schema``.

``python -m fusestack.config.schema > tests/config/schema.json`` renews the snapshot of the tests.
"""

from __future__ import annotations

from typing import Any

from fusestack.config.focus import Focus
from fusestack.config.models import Config
from fusestack.config.values import Model


def json_schema() -> dict[str, Any]:
    """Schema of what may be written, draft 2020-12; limits between keys are not in it."""
    sections: list[type[Model]] = [Focus, *Model.__subclasses__()]
    for section in sections:
        section.model_rebuild()  # left out of the start of other commands
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Config.model_json_schema(mode="validation")


if __name__ == "__main__":
    import json

    print(json.dumps(json_schema(), indent=1))
