"""Tests of the compiled kernel."""

from __future__ import annotations

import pytest

from mail_localization.models.exported import kernel

needs_kernel = pytest.mark.skipif(kernel.library() is None, reason="the kernel is not compiled: no C compiler")
