"""The messages of one topic of a bag, as samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from mail_localization.data import messages
from mail_localization.data.wifi_mapping import WifiMapping
from mail_localization.data.wifi_settings import WifiMappingSettings, settings_for
from mail_localization.errors import ConfigError, RecordingError
from mail_localization.types import ReferencePose, Sample

_END_NS = 2**63
"""Later than any message."""


class SampleReader:
    """Convert the messages of one stream; what is left out or repaired is counted in `problems`.

    Raises:
        RecordingError: Wi-Fi messages do not have the fields that the settings name.
    """

    def __init__(
        self, stream: str, topic: str, msgtype: str, wifi: WifiMappingSettings, problems: Counter[str]
    ) -> None:
        """Take where Wi-Fi messages keep what; settings that name a type are for messages of that type only."""
        self._stream, self._topic, self._problems = stream, topic, problems
        self._mapping: WifiMapping | None = None
        if stream == "wifi":
            self._mapping = WifiMapping(settings_for(wifi, msgtype), msgtype, problems, f"{topic}: ")

    def read(self, message: Any, logged_ns: int) -> Sequence[Sample | ReferencePose]:
        """Return the samples that a message, logged at `logged_ns`, completes; none where it cannot be read."""
        try:
            if self._mapping is not None:
                return self._mapping.scans(message, logged_ns)
            sample = messages.from_message(message, self._stream, logged_ns)
        except ConfigError as err:
            raise RecordingError(f"topic {self._topic!r}: {err}") from err
        except Exception:
            # The bag brings its own message definitions: a stranger's Imu may lack any field.
            self._problems[f"{self._topic}: message cannot be read"] += 1
            return ()
        if messages.stamp_ns(message) == 0:
            self._problems[f"{self._topic}: no stamp, logged time used"] += 1
        return (sample,)

    def end(self) -> Sequence[Sample]:
        """Return the Wi-Fi scan that is still being gathered."""
        return () if self._mapping is None else self._mapping.flush(_END_NS)
