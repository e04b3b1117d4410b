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
            return {
                key: value for key, value in data.items() if value is not None or key not in cls.model_fields
            }
        return data
