"""The exported state of a mock."""

from typing import Annotated, ClassVar, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from oxaigen_auth_mock.config.constraints import DENY
from oxaigen_auth_mock.faults.kinds import Fault
from oxaigen_auth_mock.faults.plan import unknown_persona
from oxaigen_auth_mock.identity_provider.base import Credential
from oxaigen_auth_mock.personas.model import Persona

Fingerprint: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{12}$")]


class Snapshot(BaseModel):
    """All that can be changed in a running mock; its calls are not included.

    Faults are restored with their counts at zero.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    personas: list[Persona]
    faults: list[Fault] = Field(default_factory=list[Fault])
    revoked: list[Fingerprint] = Field(default_factory=list[str])
    issued: list[Credential] = Field(default_factory=list[Credential])
    auto_login: str | None = None
    clock_offset: float = Field(
        default=0.0, strict=True, allow_inf_nan=False, description="Seconds."
    )

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [persona.name for persona in self.personas]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"two personas have the same name: {', '.join(repeated)}")
        if self.auto_login not in (None, DENY, *names):
            raise ValueError(f"auto_login is {self.auto_login!r}, but no persona has this name")
        for number, fault in enumerate(self.faults):
            problem = unknown_persona(fault.persona, names)
            if problem:
                raise ValueError(f"faults[{number}].persona: {problem}")
        return self
