"""What people do with photographs: invert features, dream, transfer style, accentuate.

Each is a few calls of `render` with the settings that suit.
"""

from featviz.recipes.before import Before
from featviz.recipes.dreaming import dream
from featviz.recipes.matching import accentuate, exaggerate, invert, transfer_style

__all__ = ["Before", "accentuate", "dream", "exaggerate", "invert", "transfer_style"]
