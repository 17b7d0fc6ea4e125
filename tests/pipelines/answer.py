"""What one command said: its exit code, its one JSON document, and the five parts of its error."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from wellbridge.schemas.errors import OUTCOMES, Exit

PARTS = {"code", "exit_code", "what", "where", "why", "todo"}


@dataclass(frozen=True)
class Answer:
    exit: int
    stdout: str
    stderr: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document of stdout; whatever else stands there fails."""
        found = json.loads(self.stdout)
        assert isinstance(found, dict)
        assert {"schema_version", "outcome", "exit_code", "run_id", "errors"} <= set(found)
        assert found["exit_code"] == self.exit
        assert found["outcome"] == OUTCOMES[Exit(self.exit)]
        for error in found["errors"]:
            assert set(error) == PARTS
            assert all(error.values()), "each of the five parts says something"
        return found

    @property
    def error(self) -> dict[str, Any]:
        """The only error of the document."""
        (error,) = self.document["errors"]
        return dict(error)
