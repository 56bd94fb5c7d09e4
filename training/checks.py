"""What `manage.py check` looks at on the ground floor."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from training.kinds import all_kinds


@register()
def gpu_kinds_exist(**_: Any) -> list[CheckMessage]:
    """Refuse by name a kind that LAUREL_GPU_KINDS sends to GPU workers and that nobody registered."""
    known = {kind.name for kind in all_kinds()}
    return [
        Error(f"LAUREL_GPU_KINDS names {name!r}; there is {', '.join(sorted(known))}", id="laurel.E001")
        for name in settings.GPU_KINDS
        if name not in known
    ]
