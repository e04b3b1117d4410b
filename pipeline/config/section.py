"""What all mappings of a configuration have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class Section(BaseModel):
    """A mapping whose keys are all known; a key without a value counts as left out."""

    # Inputs hold passwords: they stay out of pydantic's own messages.
    model_config = ConfigDict(
        extra="forbid", frozen=True, arbitrary_types_allowed=True, hide_input_in_errors=True
    )

    @model_validator(mode="before")
    @classmethod
    def _leave_out_empty(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            known = keys_of(cls)
            return {key: value for key, value in data.items() if value is not None or key not in known}
        return data


def keys_of(section: type[BaseModel]) -> dict[str, str]:
    """The keys of a section as they stand in a file, each with the name of its attribute."""
    return {field.alias or name: name for name, field in section.model_fields.items()}
