"""Importers: one file per public dataset, listed here by hand."""

from __future__ import annotations

from mail_localization.data.sources import aalto_magnetic, indoor_location_20, ipin2023_track3, mmloc, uji_mag
from mail_localization.data.sources.common import Source

SOURCES: dict[str, Source] = {
    "indoor-location-20": indoor_location_20.SOURCE,
    "ipin2023-track3": ipin2023_track3.SOURCE,
    "mmloc": mmloc.SOURCE,
    "uji-mag": uji_mag.SOURCE,
    "aalto-magnetic": aalto_magnetic.SOURCE,
}
