"""What runs tasks on a side: an adapter a platform, all behind `Adapter`."""

from __future__ import annotations
