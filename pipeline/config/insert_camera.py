"""Text of a configuration with one camera more: all that was there stays as it is, to the byte."""

from __future__ import annotations

import json

import yaml

from ..core.control import NewCamera

BY_HAND = "add the camera by hand"


def entry(camera: NewCamera, indent: int) -> list[str]:
    """The lines of ``camera`` among ``cameras``, ``indent`` blanks in."""
    # JSON's strings are YAML's, and quotation marks keep names such as "no" from being something else.
    lines = [f"- name: {json.dumps(camera.name)}", f"  url: {json.dumps(camera.url, ensure_ascii=False)}"]
    if camera.every_s is not None:
        lines.append(f"  every_s: {camera.every_s:g}")
    if camera.record:
        lines += ["  outputs:", '    - "out/{name}/%Y%m%d-%H%M%S.mp4"']
    return [" " * indent + line for line in lines]


def with_camera(text: str, camera: NewCamera) -> str:
    """``text`` with ``camera`` behind the last of ``cameras``.

    Raises ValueError, with a sentence, where that list is written in another way than one entry below the other.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise ValueError(f"it is no list of keys; {BY_HAND}")
    pairs = [(key, value) for key, value in root.value if getattr(key, "value", None) == "cameras"]
    if not pairs:
        if root.flow_style:
            raise ValueError(f"it is written in braces; {BY_HAND}")
        return _inserted(text, text.count("\n") + 1, ["cameras:", *entry(camera, 2)])
    key, cameras = pairs[0]
    if _is_empty(cameras):
        if cameras.end_mark.line != key.start_mark.line:
            raise ValueError(f"`cameras` is empty and goes over several lines; {BY_HAND}")
        begin, end = cameras.start_mark.index, cameras.end_mark.index
        text = text[:begin].rstrip(" ") + text[end:] if isinstance(cameras, yaml.SequenceNode) else text
        return _inserted(text, key.start_mark.line + 1, entry(camera, key.start_mark.column + 2))
    if not isinstance(cameras, yaml.SequenceNode) or cameras.flow_style or _before(cameras, key):
        raise ValueError(f"`cameras` is not written one entry below the other; {BY_HAND}")
    return _inserted(text, _last_line(cameras) + 1, entry(camera, cameras.start_mark.column))


def _is_empty(cameras: yaml.Node) -> bool:
    if isinstance(cameras, yaml.SequenceNode):
        return not cameras.value
    return cameras.tag == "tag:yaml.org,2002:null" and cameras.value == ""


def _before(cameras: yaml.Node, key: yaml.Node) -> bool:
    """Whether it is an alias of a list that stands further up."""
    return bool(cameras.start_mark.line < key.start_mark.line)


def _last_line(node: yaml.Node) -> int:
    """The last line, from 0, that a value is written on. A list's own end is where the next thing begins."""
    if not isinstance(node, yaml.CollectionNode) or node.flow_style or not node.value:
        end = node.end_mark
        # A block of text (`|`) ends at the beginning of the line after it.
        return end.line - 1 if end.column == 0 and end.line > node.start_mark.line else end.line
    parts = (
        node.value if isinstance(node, yaml.SequenceNode) else [part for pair in node.value for part in pair]
    )
    return max(_last_line(part) for part in parts)


def _inserted(text: str, line: int, lines: list[str]) -> str:
    """``lines`` put in before the line with that number, from 0, ended as the others are."""
    ending = "\r\n" if "\r\n" in text else "\n"
    parts = text.splitlines(keepends=True)
    if parts and not parts[min(line, len(parts)) - 1].endswith("\n"):
        parts[min(line, len(parts)) - 1] += ending
    parts[line:line] = [one + ending for one in lines]
    return "".join(parts)
