"""Plays a scenario on the state of a mock, in the time of its clock.

No task does so: everything that looks at the state, or changes it, first applies the steps that are
due. A step is therefore in effect for the first call after its time, on any event loop, in virtual
time, without a lifespan, and after the clock was moved.

While a scenario plays, and when it ends, is stopped or is replaced:

- each of its faults is removed, unless others have removed, replaced or edited it since;
- each token that it has revoked is restored, unless it was revoked or restored by others since;
- each persona gets its previous state back, unless it was changed or removed by others since.

Nothing else is changed.
"""

from oxaigen_auth_mock.faults.kinds import Fault
from oxaigen_auth_mock.faults.plan import unknown_persona
from oxaigen_auth_mock.journal.counts import fingerprint
from oxaigen_auth_mock.personas.model import Persona
from oxaigen_auth_mock.scenarios.model import Scenario
from oxaigen_auth_mock.scenarios.play import FOREVER, Play, PlayedStep, ScenarioReport
from oxaigen_auth_mock.state import MockState


def start(state: MockState, scenario: Scenario) -> Play:
    """Play a scenario from now on, instead of the one that plays."""
    stop(state)
    state.play = play = Play(scenario, state.clock.now())
    state.mark_changed()
    catch_up(state)
    return play


def stop(state: MockState) -> None:
    """End the scenario that plays, if one does, and undo its steps."""
    catch_up(state)
    play = state.play
    if play is None or play.ended_at is not None:
        return
    now = state.clock.now()
    for step in play.steps:
        if step.status == "running":
            _end(state, play, step, now)
        elif step.status == "coming":
            step.status = "skipped"
    play.stopped, play.ended_at = True, now
    state.mark_changed()


def catch_up(state: MockState) -> None:
    """Apply and undo the steps that are due, in their order and at their times."""
    play = state.play
    if play is None:
        return
    now = state.clock.now()
    if now < play.next_at:
        return
    while (due := play.next_at) <= now:
        step, begins = play.pop()
        if begins:
            _begin(state, play, step, due)
        else:
            _end(state, play, step, due)
        if play.is_over:
            play.ended_at = due
    state.mark_changed()


def seconds_to_next(state: MockState) -> float:
    """Return for how long no step is due, by the mock's clock."""
    return FOREVER if state.play is None else max(0.0, state.play.next_at - state.clock.now())


def keep_token(state: MockState, name: str) -> None:
    """Let the scenario not restore the token with this fingerprint."""
    if state.play is not None:
        state.play.revoked.discard(name)


def keep_state(state: MockState, persona: str) -> None:
    """Let the scenario not restore the state of this persona."""
    for played in [] if state.play is None else state.play.running:
        if played.step.persona is not None and played.step.persona.name == persona:
            played.previous_state = None


def scenario_report(state: MockState) -> ScenarioReport | None:
    """Return how far the scenario is that plays, or how the last one was; None without one."""
    return None if state.play is None else state.play.report(state.clock.now())


def own_faults(state: MockState) -> list[Fault]:
    """Return the faults that no scenario has added."""
    running = [] if state.play is None else state.play.running
    added = {each.fault_id: each.step.fault for each in running}
    return [fault for fault_id, fault in state.faults.items() if added.get(fault_id) is not fault]


def own_revoked(state: MockState) -> set[str]:
    """Return the fingerprints of the revoked tokens that no scenario has revoked."""
    return state.revoked - (set[str]() if state.play is None else state.play.revoked)


def own_personas(state: MockState) -> list[Persona]:
    """Return the personas in the states that they have without a scenario."""
    running = [] if state.play is None else state.play.running
    previous = {
        each.step.persona.name: each.previous_state
        for each in running
        if each.step.persona is not None and each.previous_state is not None
    }
    return [
        persona.model_copy(update={"state": previous.get(persona.name, persona.state)})
        for persona in state.personas
    ]


def _begin(state: MockState, play: Play, played: PlayedStep, due: float) -> None:
    step = played.step
    if unknown_persona(step.persona_name, state.personas.names):
        played.status = "skipped"
    else:
        played.status, played.began_at = "running", due
        _apply(state, play, played)
    verdict = "skipped" if played.began_at is None else "began"
    state.journal.note(due, verdict, f"{play.scenario.name}: {step.describe()}")


def _apply(state: MockState, play: Play, played: PlayedStep) -> None:
    step = played.step
    if step.fault is not None:
        played.fault_id = state.faults.add(step.fault)
    elif step.persona is not None:
        played.previous_state = state.personas.require(step.persona.name).state
        state.personas.set_state(step.persona.name, step.persona.state)
    else:
        tokens = [step.revoke_token] if step.revoke_token else _tokens_of(state, step.revoke or "")
        played.tokens = frozenset(map(fingerprint, tokens))
        play.revoked |= played.tokens - state.revoked
        state.revoked |= played.tokens


def _tokens_of(state: MockState, name: str) -> list[str]:
    """Return the tokens of a persona, with those that were issued by signing in."""
    issued = [
        each.value
        for each in state.provider.export()
        if each.kind == "access" and each.persona == name
    ]
    return [*state.personas.tokens_of(name), *issued]


def _end(state: MockState, play: Play, played: PlayedStep, now: float) -> None:
    """Undo a step, unless it was skipped."""
    if played.status != "running":
        return
    played.status, played.ended_at = "done", now
    if played.fault_id is not None and played.step.fault is not None:
        state.faults.remove_unchanged(played.fault_id, played.step.fault)
    if played.step.persona is not None and played.previous_state is not None:
        state.personas.set_state(played.step.persona.name, played.previous_state)
    still_revoked = frozenset[str]().union(*(each.tokens for each in play.running))
    restored = (played.tokens & play.revoked) - still_revoked
    play.revoked -= restored
    state.revoked -= restored
    state.journal.note(now, "ended", f"{play.scenario.name}: {played.step.describe()}")
