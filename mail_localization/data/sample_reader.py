"""The messages of one topic of a bag, as samples."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mail_localization.data import cdr, messages
from mail_localization.data.wifi_mapping import WifiMapping
from mail_localization.data.wifi_settings import WifiMappingSettings, settings_for
from mail_localization.errors import ConfigError, RecordingError
from mail_localization.types import ReferencePose, Sample

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

_END_NS = 2**63
"""Later than any message."""


class SampleReader:
    """Convert the messages of one stream; what is left out or repaired is counted in `problems`.

    Raises:
        RecordingError: Wi-Fi messages do not have the fields that the settings name.
    """

    def __init__(
        self, stream: str, topic: str, msgtype: str, wifi: WifiMappingSettings, problems: Counter[str],
        typestore: Typestore,
    ) -> None:  # fmt: skip
        """Take where Wi-Fi messages keep what; settings that name a type are for messages of that type only."""
        self._stream, self._topic, self._problems = stream, topic, problems
        self._decode = functools.partial(typestore.deserialize_cdr, typename=msgtype)
        standard = stream in cdr.TYPES and messages.are_standard(cdr.TYPES[stream], typestore)
        self._from_cdr = cdr.READERS[stream] if standard else None
        self._mapping: WifiMapping | None = None
        if stream == "wifi":
            self._mapping = WifiMapping(settings_for(wifi, msgtype), msgtype, problems, f"{topic}: ")

    def read(self, raw: bytes, logged_ns: int) -> Sequence[Sample | ReferencePose]:
        """Return the samples that a message, logged at `logged_ns`, completes; none where it cannot be read."""
        try:
            return self._samples(raw, logged_ns)
        except ConfigError as err:
            raise RecordingError(f"topic {self._topic!r}: {err}") from err
        except Exception:
            # Bytes from a stranger, by his own definitions: any decoder may fail in any way, his Imu may lack any
            # field, and one bad message must not end the bag.
            self._problems[f"{self._topic}: message cannot be read"] += 1
            return ()

    def _samples(self, raw: bytes, logged_ns: int) -> Sequence[Sample | ReferencePose]:
        sample: Sample | ReferencePose
        if self._from_cdr is not None and cdr.is_plain(raw):
            sample = self._from_cdr(raw)
            stamp_ns: int | None = sample.t_ns
            if not stamp_ns:
                sample = dataclasses.replace(sample, t_ns=logged_ns)
        else:
            message = self._decode(raw)
            if self._mapping is not None:
                return self._mapping.scans(message, logged_ns)
            stamp_ns = messages.stamp_ns(message)
            sample = messages.from_message(message, self._stream, logged_ns)
        if stamp_ns == 0:
            self._problems[f"{self._topic}: no stamp, logged time used"] += 1
        return (sample,)

    def end(self) -> Sequence[Sample]:
        """Return the Wi-Fi scan that is still being gathered."""
        return () if self._mapping is None else self._mapping.flush(_END_NS)
