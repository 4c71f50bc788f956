"""Grapheme clusters, found in linear time."""

from __future__ import annotations

# `\X` alone counts the whole run of regional indicators before each flag, which takes quadratic
# time over a row of flags. Read from left to right, a flag is two of them and what extends them.
CLUSTER = r"(?:\p{Regional_Indicator}{1,2}+[\p{GCB=Extend}\p{GCB=SpacingMark}\p{GCB=ZWJ}]*+|\X)"
