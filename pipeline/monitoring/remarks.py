"""What is said of a camera in words: what is wrong with it and what to do, and what it is at."""

from __future__ import annotations

from ..core.camera_url import CameraUrl, redact
from ..core.events import OutputChanged
from ..core.status import OTHER_SCENE, CameraStatus, generator_text, learning_text, own_model_text
from ..outputs import registry as outputs
from ..sources import registry as sources

# What is said of a reason for which there is no advice.
NO_ADVICE = "The log says more."

BAD_STATES = ("retrying", "failed")

# Why a camera of a cluster is not seen, and what is done about it.
_OF_NODES = {
    "no_node": "No node has it at present; it is given to one as soon as that is safe and there is one.",
    "node_silent": "Its node does not answer, so how it is cannot be told; another takes it over within seconds.",
    "node_refused": "Its node cannot run it.",
}


def remarks_on(camera: CameraStatus) -> list[str]:
    """Sentences, the most important first. Secrets are masked."""
    remarks = []
    if camera.state in BAD_STATES:
        of_node = _OF_NODES.get(camera.reason or "")
        remarks.append(of_node or sources.advice(camera.scheme, camera.reason) or NO_ADVICE)
    if camera.refused is not None:
        remarks.append(f"{sentence(redact(camera.refused))}")
    if camera.node is not None:
        remarks.append(f"It runs on the node {camera.node}.")
    if camera.next_try and round(camera.next_try, 1):
        remarks.append(f"Next try in {camera.next_try:.0f} s.")
    if camera.stats.reconnects:
        counts = ", ".join(counted(camera.stats.reconnects))
        remarks.append(f"Lost or not reached so far: {counts}.")
    if camera.model_fits is False:
        remarks.append(sentence(OTHER_SCENE))
    if camera.engine_fault is not None:
        remarks.append(f"Its engine could not be built: {redact(camera.engine_fault)}.")
    elif camera.state == "starting" and camera.engine == "preparing":
        remarks.append("It is opened once its engine is ready.")
    if camera.colour_fault is not None:
        remarks.append(sentence(camera.colour_fault))
    if camera.brightened is not None:
        remarks.append(f"Brightened, not translated: {camera.brightened}.")
    texts = (learning_text(camera), own_model_text(camera), generator_text(camera))
    remarks += [sentence(text) for text in texts if text is not None]
    return remarks


def advice_on(output: OutputChanged) -> str:
    """What to do about an output; "" if nothing is wrong with it."""
    if not output.reason:
        return ""
    return outputs.advice(CameraUrl(output.output).scheme, output.reason) or NO_ADVICE


def counted(counts: dict[str, int]) -> list[str]:
    """For instance ``overload 3`` and ``output failed 1``, the most frequent first. Secrets are masked."""
    by_frequency = sorted(counts.items(), key=lambda item: -item[1])
    return [f"{redact(name).replace('_', ' ')} {count:,}" for name, count in by_frequency]


def sentence(text: str) -> str:
    """With a capital and a full stop."""
    return f"{text[0].upper()}{text[1:]}."
