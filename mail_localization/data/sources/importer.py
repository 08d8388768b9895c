"""Import traces of a public dataset as recordings, several files at once."""

from __future__ import annotations

import json
import shutil
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from mail_localization.data.messages import STREAM_OF, default_typestore
from mail_localization.data.recording import write_recording
from mail_localization.data.sources import SOURCES
from mail_localization.data.sources.common import LatLon, Trace
from mail_localization.errors import MailLocalizationError, RecordingError
from mail_localization.files import replace_file
from mail_localization.workers import Spread, each


@dataclass(frozen=True)
class ImportOptions:
    """What to import, and how."""

    source: str
    """Key of SOURCES."""
    out: Path
    origin: LatLon | None = None
    """Latitude and longitude of the origin of `map`, deg; None: the dataset's own."""
    overwrite: bool = False


@dataclass(frozen=True)
class ImportResult:
    """What became of one file."""

    file: str
    recording: str
    """Path relative to the output folder."""
    status: str
    """written, exists or failed."""
    reason: str = ""
    """Why it failed."""
    duration: float = 0.0
    """From the first to the last sample, s."""
    elapsed: float = 0.0
    """Processor time to read and write, s."""
    messages: dict[str, int] = field(default_factory=dict)
    """Stream -> number of messages."""
    problems: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    details: str = ""
    """Traceback of an error nobody foresaw."""


def plan_import(source: str, src: Path, origin: LatLon | None = None) -> dict[Path, str]:
    """Return trace file -> recording name; RecordingError where there is nothing, or two would be one."""
    importer = SOURCES[source]
    if origin is not None and not importer.geographic:
        raise RecordingError(f"{source} gives positions in metres, not latitude and longitude: leave out --origin")
    if not src.exists():
        raise RecordingError(f"{src}: no such file or folder; give the unpacked dataset, a sub-folder or one file")
    src = src.resolve()
    files = [src] if src.is_file() else importer.find(src)
    if not files:
        raise RecordingError(f"{src}: holds no trace of {importer.title}; give the unpacked dataset")
    names: dict[str, Path] = {}
    for file in files:
        clash = names.setdefault(importer.name(file), file)
        if clash != file:
            raise RecordingError(f"{clash} and {file} would both become {importer.name(file)!r}; import them apart")
    return {file: name for name, file in names.items()}


def import_all(plan: dict[Path, str], options: ImportOptions, spread: Spread) -> Iterator[ImportResult]:
    """Import every file of the plan; yield results as they come.

    Raises:
        ClusterError: the cluster cannot be used, or is gone.
    """
    # A worker may have another working directory.
    options = replace(options, out=options.out.resolve())
    jobs = [(file, name, options) for file, name in plan.items()]
    for index, answer in each(_import_job, jobs, spread):
        file, name, _ = jobs[index]
        yield answer.value or ImportResult(str(file), name, "failed", f"{file}: {answer.error}")


def _import_job(job: tuple[Path, str, ImportOptions]) -> ImportResult:
    _warm_up()
    return import_one(*job)


@lru_cache(maxsize=1)
def _warm_up() -> None:
    """Load what every file needs, so that the first file's time is its own."""
    import rosbags.rosbag2  # noqa: F401

    default_typestore()


def import_one(file: Path, name: str, options: ImportOptions) -> ImportResult:
    """Import one file; whatever is wrong with it is in the result."""
    begin = time.process_time()
    target = options.out / name
    if target.exists() and not options.overwrite:
        return ImportResult(str(file), name, "exists")
    try:
        trace = SOURCES[options.source].read(file, options.origin)
        if target.exists():
            _remove(target)
        write_recording(target, [*trace.samples, *trace.references], trace.info)
    except MailLocalizationError as err:
        return ImportResult(str(file), name, "failed", str(err))
    except Exception as err:
        # A stranger's file must not end the import of the others; what happened is kept in the report.
        reason = f"{file}: cannot be imported ({type(err).__name__}: {err}); details in the report, please tell us"
        return ImportResult(str(file), name, "failed", reason, details=traceback.format_exc())
    return _result(file, name, trace, time.process_time() - begin)


def _remove(target: Path) -> None:
    """Remove a recording of an earlier import, and nothing else."""
    if not (target / "metadata.yaml").is_file():
        raise RecordingError(f"{target}: exists and is not a recording; remove it or choose another output folder")
    shutil.rmtree(target)


def _result(file: Path, name: str, trace: Trace, elapsed: float) -> ImportResult:
    times = [sample.t_ns for sample in trace.samples]
    counts = Counter(STREAM_OF[type(sample)] for sample in trace.samples)
    counts["reference"] = len(trace.references)
    return ImportResult(
        file=str(file),
        recording=name,
        status="written",
        duration=(max(times) - min(times)) * 1e-9,
        elapsed=elapsed,
        messages=dict(sorted(counts.items())),
        problems=dict((+trace.problems).most_common()),
        notes=trace.notes,
    )


def write_report(results: list[ImportResult], options: ImportOptions) -> Path:
    """Write OUT/import_report.json; entries of earlier imports into the same folder are kept."""
    path = options.out / "import_report.json"
    entries = {entry["recording"]: entry for entry in _earlier_entries(path)}
    for result in results:
        if result.status != "exists" or result.recording not in entries:
            entries[result.recording] = {"source": options.source, **asdict(result)}
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"schema_version": 1, "files": [entries[key] for key in sorted(entries)]}, indent=1)
        replace_file(path, f"{text}\n".encode())
    except OSError as err:
        raise RecordingError(f"{path}: cannot be written: {err.strerror}") from err
    return path


def _earlier_entries(path: Path) -> list[dict[str, str]]:
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
        return [entry for entry in files if isinstance(entry["recording"], str)]
    except (OSError, ValueError, KeyError, TypeError):
        return []
