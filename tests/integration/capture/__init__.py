"""The client package for Python workers, with real drivers, SDKs and servers."""

from __future__ import annotations
