"""The dependency of the routes that use the control of a mock."""

from typing import Annotated

from fastapi import Depends, Request

from oxaigen_auth_mock.control import MockControl, get_control
from oxaigen_auth_mock.playback import catch_up


async def _current_control(request: Request) -> MockControl:
    """Return the mock's control, once the steps of a scenario that are due were applied."""
    control = get_control(request)
    catch_up(control.state)
    return control


Control = Annotated[MockControl, Depends(_current_control)]
