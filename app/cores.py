"""How many cores torch may take: one is left, so that pages answer while it computes."""

import os


def leave_a_core() -> None:
    """Let torch take all cores of this process but one; never more threads than it has now."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    torch.set_num_threads(min(torch.get_num_threads(), max(1, (cores or 2) - 1)))
