"""The configuration: one schema, validated once, with messages that name file, line and key.

`values` (numbers, axes, sizes, patterns), `models` and `focus` (every section), `document` (YAML with positions and
``--set``), `messages` (what pydantic found, in sentences), `load` (the door), `availability` (what this version cannot
do yet), `schema` (JSON Schema), `template` (texts for ``fusestack init``).
"""
