"""What is wrong with a scene's footage, found before hours are spent on training.

Four things are checked: enough pictures; a camera that does not move; nights that show what the days show; and a
background without things that are not there all the time. Where no camera is fixed only the first is. Each finding
says what was measured and what to do. It is a *refusal* where training would teach the model something wrong, and a
*warning* where it would teach only little, or where the pictures do not allow a judgement.
"""

from __future__ import annotations

from hashlib import blake2b

from .alignment import check_days, check_nights
from .finding import Finding
from .parked import check_parked
from .scene import Scene, brief

# Fewer different pictures are refused; one of fifteen public cameras has as few.
MIN_DAY, MIN_NIGHT = 5, 4
# Fewer different pictures bring a warning.
FEW_DAY, FEW_NIGHT = 50, 10
NOT_FIXED = (
    "no fixed camera: x_ref is the mean of the day pictures; it was not looked whether the camera moved, and whether "
    "day and night show the same place"
)


def check_scene(scene: Scene, *, learns_nights: bool) -> list[Finding]:
    """Everything found, refusals first.

    Args:
        scene: at least one day and one night picture.
        learns_nights: whether the recipe learns from the night pictures.
    """
    findings = [Finding(False, text) for text in scene.passed_over]
    findings += [Finding(False, brief(scene.left_out))] if scene.left_out else []
    findings += _counts(scene, learns_nights)
    if not scene.fixed_camera:
        findings.append(Finding(False, NOT_FIXED))
    # Fewer pictures do not allow a judgement of the camera, and are refused as too few.
    elif len(scene.day) >= MIN_DAY:
        findings += check_days(scene)
        if not any(f.refuse for f in findings):
            findings += check_nights(scene) + check_parked(scene)
    return sorted(findings, key=lambda f: not f.refuse)


def _counts(scene: Scene, learns_nights: bool) -> list[Finding]:
    found = []
    for what, frames, least, few, needed in (
        ("day", scene.day + scene.held_back, MIN_DAY, FEW_DAY, True),
        ("night", scene.night, MIN_NIGHT, FEW_NIGHT, learns_nights),
    ):
        # Digests: the pictures themselves would be in memory twice.
        different = len({blake2b(frame.tobytes()).digest() for frame in frames})
        pictures = f"{different} different {what} picture{'s' if different > 1 else ''}"
        if different < least and needed:
            found.append(Finding(True, f"{pictures}: at least {least} are needed; collect more"))
        elif different < few:
            advice = (
                "the model will know little of what moves there" if what == "day" else "real nights differ"
            )
            found.append(Finding(False, f"{pictures} are few, {few} or more are better: {advice}"))
    return found
