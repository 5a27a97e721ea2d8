"""A probe in a process of its own: ``python -m glview.doctor PROBE API PLATFORM [KIND NODE]``."""

from __future__ import annotations

from glview.doctor.child import main

main()
