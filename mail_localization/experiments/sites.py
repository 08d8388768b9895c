"""The recordings of a site: found, read once for what they hold, and split by recording."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from mail_localization.data.recording import SENSORS, Recording, RecordingInfo, find_recordings
from mail_localization.errors import ConfigError, RecordingError
from mail_localization.experiments.config import CompareConfig, SiteConfig

COMMON = 0.5
"""A site has a stream where this share of its recordings, at least, has samples of it."""


@dataclass(frozen=True)
class Source:
    """One recording as the comparison names it."""

    name: str
    """Path relative to --bags, with slashes."""
    info: RecordingInfo
    streams: frozenset[str]
    """Streams with samples, of `imu`, `mag`, `wifi`, `odom`."""
    fingerprint: str
    """Hash of the bag's files."""


@dataclass(frozen=True)
class Site:
    """One site, split."""

    name: str
    label: str
    protocol: str
    training: tuple[Source, ...]
    validation: tuple[Source, ...]
    test: tuple[Source, ...]

    @property
    def streams(self) -> frozenset[str]:
        """Streams that enough of the training and of the test recordings have."""
        return frozenset(s for s in SENSORS if _common(s, self.training) and _common(s, self.test))


def load_sites(config: CompareConfig, root: Path, progress: bool = True) -> dict[str, Site]:
    """Find and split the recordings of every site.

    Raises:
        ConfigError: a pattern matches nothing, or a part of the split is empty.
    """
    found = {name: _paths(site, root, f"{config.path}: sites: {name}") for name, site in config.sites.items()}
    wanted = sorted({path for paths in found.values() for path in paths})
    with tqdm(wanted, desc="recordings", unit="recording", disable=None if progress else True) as bar:
        sources = {path: _source(path, root) for path in bar}
    return {
        name: _split(name, site, [sources[path] for path in found[name]], f"{config.path}: sites: {name}")
        for name, site in config.sites.items()
    }


def _common(stream: str, sources: tuple[Source, ...]) -> bool:
    return sum(stream in source.streams for source in sources) >= COMMON * len(sources)


def _paths(site: SiteConfig, root: Path, where: str) -> list[Path]:
    """Return the bags that the site's folders and globs lead to."""
    paths: set[Path] = set()
    for pattern in site.recordings:
        try:
            matches = list(root.glob(pattern)) if pattern.strip("/.") else [root]
        except (ValueError, NotImplementedError) as err:
            raise ConfigError(f"{where}: recordings: {pattern!r}: {err}; give a path under --bags") from err
        if not matches:
            raise ConfigError(f"{where}: recordings: {pattern!r} matches nothing under --bags {root}")
        try:
            paths.update(find_recordings(matches))
        except RecordingError as err:
            raise ConfigError(f"{where}: recordings: {pattern!r}: {err}") from err
    return sorted(paths)


def _source(path: Path, root: Path) -> Source:
    recording = Recording(path)
    counts, topics = recording.counts, recording.topics.to_mapping()
    streams = frozenset(stream for stream in SENSORS if counts.get(topics[stream]))
    return Source(path.relative_to(root).as_posix(), recording.info, streams, _fingerprint(path))


def _fingerprint(path: Path) -> str:
    """Return a hash of a bag's names and bytes, so that a bag imported anew to the same bytes stays the same."""
    digest = hashlib.blake2b(digest_size=16)
    files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
    for file in files:
        digest.update(file.name.encode())
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def _split(name: str, site: SiteConfig, sources: list[Source], where: str) -> Site:
    """Split the recordings as the site's settings say; nothing is in two parts."""
    rest = [source for source in sources if site.floor in ("", source.info.floor)]
    if not rest:
        floors = ", ".join(sorted({source.info.floor for source in sources}))
        raise ConfigError(f"{where}: floor: no recording of floor {site.floor!r}; there are {floors}")
    if len(rest) == 1:
        raise ConfigError(f"{where}: recordings: only {rest[0].name}: one recording cannot be split; record a second")
    test: list[Source] = []
    validation: list[Source] = []
    if site.every:
        test = rest[site.every - 1 :: site.every]
        validation = rest[site.every - 2 :: site.every] if site.every > 2 else []
    elif site.test:
        test = _matching(site.test, rest, f"{where}: test")
    else:
        test = [source for source in rest if source.info.device == site.test_device]
        _require(test, f"{where}: test_device: no recording of {site.test_device!r}", rest)
    rest = _without(rest, test)
    if site.train_device:
        rest = [source for source in rest if source.info.device == site.train_device]
        _require(rest, f"{where}: train_device: no recording of {site.train_device!r} left", sources)
    if site.validation:
        validation = _matching(site.validation, rest, f"{where}: validation")
    elif site.validation_every:
        validation = rest[site.validation_every - 1 :: site.validation_every]
    validation = _without(validation, test)
    training = _without(rest, validation)
    for part, found in (("test", test), ("training", training)):
        if not found:
            raise ConfigError(f"{where}: no recording is left for {part} of {len(sources)}; change the split")
    return Site(name, site.label or name, site.protocol, tuple(training), tuple(validation), tuple(test))


def _matching(patterns: Iterable[str], sources: list[Source], where: str) -> list[Source]:
    chosen: set[str] = set()
    for pattern in patterns:
        names = {source.name for source in sources if PurePosixPath(source.name).match(pattern)}
        if not names:
            raise ConfigError(f"{where}: {pattern!r} matches none of the site's recordings, e.g. {sources[0].name}")
        chosen |= names
    return [source for source in sources if source.name in chosen]


def _require(found: list[Source], message: str, known: list[Source]) -> None:
    if not found:
        devices = ", ".join(sorted({repr(source.info.device) for source in known}))
        raise ConfigError(f"{message}; there are {devices}")


def _without(sources: list[Source], others: list[Source]) -> list[Source]:
    taken = {source.name for source in others}
    return [source for source in sources if source.name not in taken]
