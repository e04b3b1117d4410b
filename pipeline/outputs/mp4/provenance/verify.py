"""What was altered in a folder of signed recordings, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ....core.words import counted
from .original import OriginalFile
from .records import CHAIN_FILES, RECORD_ENDING, Record, digest, digest_of, read


@dataclass(slots=True)
class Report:
    """What a check has found.

    Attributes:
        faults: what was altered, a sentence each.
        notes: what is worth knowing and no fault.
        recordings: how many were looked at.
        keys: the public keys that they were signed with.
    """

    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    recordings: int = 0
    keys: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Signed:
    path: Path
    content: Record
    sha256: str

    @property
    def recording(self) -> Path:
        """The recording that the record lies beside."""
        return self.path.with_name(self.path.name.removesuffix(RECORD_ENDING))


def verify(folder: Path, *, public_key: str | None = None, originals: Sequence[OriginalFile] = ()) -> Report:
    """Compare all recordings below ``folder`` with their records, and these with their chains. Raises OSError.

    Args:
        folder: where the recordings are, the ends of their chains included.
        public_key: in hexadecimal, whose records are believed; None: whoever's they are.
        originals: what was recorded of the source itself; which recordings were made of it is told.
    """
    report = Report()
    ends = _read_all(folder, sorted(folder.rglob(CHAIN_FILES)), report, public_key)
    records = _read_all(folder, sorted(folder.rglob(f"*.mp4{RECORD_ENDING}")), report, public_key)
    chains: dict[str, list[_Signed]] = {}
    for one in records:
        chains.setdefault(str(one.content.get("chain")), []).append(one)
    known = {str(end.content.get("chain")): end for end in ends}
    for chain in {**known, **chains}:
        end, found = known.get(chain), chains.get(chain, [])
        if end is None:
            report.faults.append(
                f"{_short(folder, found[0].path)}: the end of its chain ({CHAIN_FILES}) was removed or altered, "
                "so nobody can tell whether recordings are missing"
            )
        else:
            report.faults += _chain_faults(folder, end, found, report)
    report.faults += _file_faults(folder, records, known)
    if originals:
        report.faults += _original_faults(folder, records, originals, report)
    report.recordings = len(records)
    signed = {one.recording for one in records}
    unsigned = [path for path in sorted(folder.rglob("*.mp4")) if path not in signed]
    report.notes += [
        f"{_short(folder, path)}: not signed; it is being written, was when the program was killed, was recorded "
        "without `provenance`, or was put there"
        for path in unsigned
    ]
    if not records and not ends:
        report.faults.append("nothing here is signed")
    return report


def _read_all(folder: Path, paths: list[Path], report: Report, public_key: str | None) -> list[_Signed]:
    found = []
    for path in paths:
        data = path.read_bytes()
        content = read(data)
        if content is None:
            report.faults.append(f"{_short(folder, path)}: was altered")
        elif public_key is not None and content["public_key"] != public_key:
            report.faults.append(
                f"{_short(folder, path)}: was signed by another key ({content['public_key']})"
            )
        else:
            report.keys.add(content["public_key"])
            found.append(_Signed(path, content, digest(data)))
    return found


def _chain_faults(folder: Path, end: _Signed, records: list[_Signed], report: Report) -> Iterator[str]:
    """What is missing of a chain, or is not what was chained."""
    by_number = {int(one.content["number"]): one for one in records}
    first, after, deleted = end.content["first"], end.content["next"], set(end.content["deleted"])
    last = end.content["last"]
    # The program may have been killed between the last record and the chain's end.
    while after in by_number and by_number[after].content["previous"] == last:
        report.notes.append(f"{_short(folder, by_number[after].path)}: the chain's end does not name it yet")
        last = by_number[after].sha256
        after += 1
    for number in range(first, after):
        one, next_one = by_number.get(number), by_number.get(number + 1)
        if one is None:
            if number not in deleted:
                beside = _between(by_number, number)
                yield f"{_short(folder, end.path)}: recording number {number} was removed{beside}"
            continue
        following = last if number == after - 1 else next_one.content["previous"] if next_one else one.sha256
        if following != one.sha256:
            yield f"{_short(folder, one.path)}: is not the record that was chained; it was replaced"
    for number in sorted(set(by_number) - set(range(first, after))):
        name = _short(folder, by_number[number].path)
        if number < first:
            report.notes.append(f"{name}: was deleted by retention, and put back")
        else:
            yield f"{name}: comes after the chain's end, which was put back to an earlier one"


def _between(by_number: dict[int, _Signed], number: int) -> str:
    before, after = by_number.get(number - 1), by_number.get(number + 1)
    said = [f"after {before.recording.name}"] if before else []
    said += [f"before {after.recording.name}"] if after else []
    return f" ({', '.join(said)})" if said else ""


def _file_faults(folder: Path, records: list[_Signed], ends: dict[str, _Signed]) -> Iterator[str]:
    """Recordings that are not as their records say."""
    names = {one.content["sha256"]: one.content["file"] for one in records}
    for one in records:
        name, said = _short(folder, one.recording), one.content
        end = ends.get(str(said.get("chain")))
        if end is not None and one.recording != end.path.parent / said["file"]:
            yield f"{name}: was renamed; it was recorded as {said['file']}"
        try:
            sha256, _ = digest_of(one.recording)
        except FileNotFoundError:
            yield f"{name}: was removed or renamed; its record is still here"
            continue
        if sha256 != said["sha256"]:
            other = names.get(sha256)
            yield f"{name}: holds what was recorded as {other}" if other else f"{name}: was altered"


def _original_faults(
    folder: Path, records: list[_Signed], originals: Sequence[OriginalFile], report: Report
) -> Iterator[str]:
    """What the source's own recordings do not bear out, and as notes what they do."""
    any_found = False
    for one in records:
        name, original = _short(folder, one.recording), one.content.get("original")
        if original is None:
            report.notes.append(f"{name}: its record tells nothing of its original")
            continue
        if not original["complete"]:
            report.notes.append(f"{name}: its record does not tell all packets of its original")
        whole = next((file for file in originals if file.holds(original)), None)
        part = next((file for file in originals if file.begins(original)), None)
        any_found = any_found or whole is not None or part is not None
        if whole is not None:
            report.notes.append(f"{name}: made from {counted(original['packets'], 'packet')} in {whole.path}")
        elif part is not None:
            yield f"{name}: its original begins in {part.path}, but what follows there was altered or is missing"
        else:
            report.notes.append(f"{name}: its original is not in the files given")
    if not any_found:
        yield f"no recording here was made from {', '.join(str(file.path) for file in originals)}"


def _short(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()
